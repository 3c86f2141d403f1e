/** Everything else goes through JSON, so that a name from elsewhere breaks no line and steers no terminal. */
const PLAIN = /^[^\s"=\p{Cc}]+$/u;

/** One line of what happens, on stderr: time, what, and facts as `name=value`. */
export function log(what: string, facts: Readonly<Record<string, string | number | null>> = {}): void {
  const words = Object.entries(facts).map(
    ([name, value]) =>
      `${name}=${typeof value === 'string' && !PLAIN.test(value) ? JSON.stringify(value) : value}`,
  );
  process.stderr.write(`${[new Date().toISOString(), what, ...words].join(' ')}\n`);
}
