import { OperatingError } from '@ultramem/invariant';

/**
 * Origins of web pages, separated by commas, as browsers send them: scheme, host, and port where it is not the usual one.
 *
 * @throws OperatingError USAGE
 */
export function parseOrigins(text: string): string[] {
  const origins = text
    .split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '');
  for (const origin of origins)
    if (!/^https?:\/\//.test(origin) || !URL.canParse(origin) || new URL(origin).origin !== origin)
      throw new OperatingError(
        'USAGE',
        `--allow-origin has ${JSON.stringify(origin)}; expected origins such as https://example.org, without a path, separated by commas; correct it`,
      );
  return origins;
}
