import { assert } from '@ultramem/invariant';
import { type Fields, type InferFields, oneOf, record } from './schema.ts';

/** Element types of bulk tensors, little-endian. */
export type BulkElement = 'f32' | 'f64' | 'u32' | 'u8';
export type BulkFields = Readonly<Record<string, BulkElement>>;

export interface BulkArrays {
  f32: Float32Array;
  f64: Float64Array;
  u32: Uint32Array;
  u8: Uint8Array;
}

/** The value that a message of this definition is in the program: head fields and tensors side by side. */
export type MessageShape<K extends string, H extends Fields, B extends BulkFields> = Flat<
  { kind: K } & InferFields<H> & { [Name in keyof B]: BulkArrays[B[Name]] }
>;
type Flat<T> = { [Name in keyof T]: T[Name] };

export interface MessageDefinition<
  K extends string = string,
  H extends Fields = Fields,
  B extends BulkFields = BulkFields,
  A extends string | null = string | null,
  P extends string | null = string | null,
> {
  readonly kind: K;
  readonly head: H;
  /** The tensors in the order in which they travel. */
  readonly bulk: B;
  /** Kind of the one message that answers this one; null for answers and notices. */
  readonly answer: A;
  /** Kind of the messages that may come before the answer, any number of them. */
  readonly part: P;
  /** `kind` and the names of `head`; the entries of `bulk`: once, because every message needs them. */
  readonly headNames: readonly string[];
  readonly tensors: readonly (readonly [name: string, element: BulkElement])[];
  /** Head fields alone, before any tensor is touched; null or a reason that starts with the kind. */
  readonly invalidHead: (head: unknown) => string | null;
  /** What must hold between fields and tensors; only for a message whose head and element types are right. */
  readonly invalid: (message: object) => string | null;
}

export type MessageOf<D> =
  D extends MessageDefinition<infer K, infer H, infer B> ? MessageShape<K, H, B> : never;

export interface MessageOptions<
  K extends string,
  H extends Fields,
  B extends BulkFields,
  A extends string | null,
  P extends string | null,
> {
  kind: K;
  head: H;
  bulk?: B;
  answer?: A;
  part?: P;
  /** Null, or a reason of the form `what was wrong; expected what`. */
  invalid?: (message: MessageShape<K, H, B>) => string | null;
}

/** The grammar of one kind of message. Requests have `id`, `deadlineMs` and an `answer`; answers have the same `id`. */
export function defineMessage<
  const K extends string,
  const H extends Fields,
  const B extends BulkFields = Readonly<Record<never, BulkElement>>,
  const A extends string | null = null,
  const P extends string | null = null,
>(options: MessageOptions<K, H, B, A, P>): MessageDefinition<K, H, B, A, P>;
export function defineMessage(
  options: MessageOptions<string, Fields, BulkFields, string | null, string | null>,
): MessageDefinition {
  const { kind, head, bulk = {}, answer = null, part = null, invalid } = options;
  assert(
    Object.keys(bulk).length <= 7,
    `${kind}: head and tensors with their pads fit a msgpack array header of one byte`,
  );
  const schema = record({ kind: oneOf(kind), ...head });
  return {
    kind,
    head,
    bulk,
    answer,
    part,
    headNames: ['kind', ...Object.keys(head)],
    tensors: Object.entries(bulk),
    invalidHead: (value) => {
      const reason = schema.check(value);
      return reason === null ? null : kind + reason;
    },
    invalid: (message) => {
      // The caller has checked head and element types, which is all that the shape says.
      const reason = invalid?.(message as MessageShape<string, Fields, BulkFields>) ?? null;
      return reason === null ? null : `${kind}: ${reason}`;
    },
  };
}
