const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** A number of bytes for people, in powers of 1024: `512 B`, `1.5 KiB`, `20 GiB`. One decimal below 100, none above. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // What would be shown as 1024 is one of the next unit.
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const shown = value < 99.95 ? Math.round(value * 10) / 10 : Math.round(value);
  return `${shown} ${UNITS[unit]}`;
}
