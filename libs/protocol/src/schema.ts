/**
 * What one field of a message head may hold. `check` answers null, or why not: a suffix that reads on from the field's
 * name, ` is -1; expected a whole number of 0 to 4294967295`.
 */
export interface Schema<T> {
  readonly check: (value: unknown) => string | null;
  /** Never present: carries the static type. */
  readonly type?: T;
}

export type Infer<S> = S extends Schema<infer T> ? T : never;
export type Fields = Readonly<Record<string, Schema<unknown>>>;
export type InferFields<F extends Fields> = { [Name in keyof F]: Infer<F[Name]> };

/** A whole number of `min` to `max`, both included. */
export function whole(min: number, max: number): Schema<number> {
  const expected = `a whole number of ${min} to ${max}`;
  return leaf(
    expected,
    (value) => Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max,
  );
}

export const u32: Schema<number> = whole(0, 2 ** 32 - 1);
/** Up to 2^53 - 1, what every language's double holds exactly. */
export const u64: Schema<number> = whole(0, Number.MAX_SAFE_INTEGER);
export const f64: Schema<number> = leaf('a finite number', (value) => Number.isFinite(value));
export const bool: Schema<boolean> = leaf('true or false', (value) => typeof value === 'boolean');

/** @param maxLength in UTF-16 units; at most three times as many bytes */
export function text(maxLength: number): Schema<string> {
  return leaf(
    `a string of at most ${maxLength} characters`,
    (value) => typeof value === 'string' && value.length <= maxLength,
  );
}

export function oneOf<const Choice extends string>(...choices: Choice[]): Schema<Choice> {
  const known = new Set<unknown>(choices);
  return leaf(choices.map((choice) => JSON.stringify(choice)).join(' or '), (value) => known.has(value));
}

export function nullable<T>(of: Schema<T>): Schema<T | null> {
  return { check: (value) => (value === null ? null : of.check(value)) };
}

export function list<T>(of: Schema<T>, maxLength: number): Schema<T[]> {
  return {
    check: (value) => {
      if (!Array.isArray(value) || value.length > maxLength)
        return is(value, `a list of at most ${maxLength} entries`);
      for (const [index, entry] of value.entries()) {
        const reason = of.check(entry);
        if (reason !== null) return `[${index}]${reason}`;
      }
      return null;
    },
  };
}

/** A map with exactly these keys. */
export function record<F extends Fields>(fields: F): Schema<InferFields<F>> {
  const names = Object.keys(fields);
  const expected = `a map with the keys ${names.join(', ')}`;
  return {
    check: (value) => {
      if (!isMap(value)) return is(value, expected);
      for (const name of names) {
        if (!Object.hasOwn(value, name)) return `.${name} is missing; expected ${expected}`;
        const reason = fields[name].check(value[name]);
        if (reason !== null) return `.${name}${reason}`;
      }
      const keys = Object.keys(value);
      if (keys.length === names.length) return null;
      const unknown = keys.find((key) => !Object.hasOwn(fields, key));
      return ` has the unknown key ${shown(unknown)}; expected ${expected}`;
    },
  };
}

function leaf<T>(expected: string, holds: (value: unknown) => boolean): Schema<T> {
  return { check: (value) => (holds(value) ? null : is(value, expected)) };
}

function is(value: unknown, expected: string): string {
  return ` is ${shown(value)}; expected ${expected}`;
}

/** Short, whatever a stranger sent. */
export function shown(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  return isMap(value) ? 'a map' : String(value);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}
