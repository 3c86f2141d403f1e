import type { MessageDefinition, MessageOf } from './define-message.ts';
import { assign } from './messages/assign.ts';
import { cancel } from './messages/cancel.ts';
import { candidates } from './messages/candidates.ts';
import { clusterStatus } from './messages/cluster-status.ts';
import { dots } from './messages/dots.ts';
import { evaluate } from './messages/evaluate.ts';
import { evaluation } from './messages/evaluation.ts';
import { explain } from './messages/explain.ts';
import { explanation } from './messages/explanation.ts';
import { failure } from './messages/failure.ts';
import { generate } from './messages/generate.ts';
import { generated } from './messages/generated.ts';
import { heartbeat } from './messages/heartbeat.ts';
import { hello } from './messages/hello.ts';
import { leave } from './messages/leave.ts';
import { pool } from './messages/pool.ts';
import { pooled } from './messages/pooled.ts';
import { prescore } from './messages/prescore.ts';
import { pulse } from './messages/pulse.ts';
import { ready } from './messages/ready.ts';
import { score } from './messages/score.ts';
import { status } from './messages/status.ts';
import { token } from './messages/token.ts';
import { tokenize } from './messages/tokenize.ts';
import { tokens } from './messages/tokens.ts';
import { welcome } from './messages/welcome.ts';

/** Every kind of message. A new one is a file in `messages/` and a line here. */
const definitions = {
  hello,
  welcome,
  failure,
  assign,
  ready,
  heartbeat,
  pulse,
  score,
  candidates,
  prescore,
  dots,
  pool,
  pooled,
  cancel,
  leave,
  generate,
  token,
  generated,
  evaluate,
  evaluation,
  tokenize,
  tokens,
  explain,
  explanation,
  status,
  clusterStatus,
} as const;

type Definitions = typeof definitions;
type DefinitionOf<K extends Kind> = Extract<Definitions[keyof Definitions], { kind: K }>;

export type Message = { [Name in keyof Definitions]: MessageOf<Definitions[Name]> }[keyof Definitions];
export type Kind = Message['kind'];
export type MessageOfKind<K extends Kind> = Extract<Message, { kind: K }>;

/** Kinds that are answered: they carry an `id` and the remaining time. */
export type RequestKind = {
  [Name in keyof Definitions]: Definitions[Name]['answer'] extends string ? Definitions[Name]['kind'] : never;
}[keyof Definitions];
export type Request = MessageOfKind<RequestKind>;

/** What answers a request of kind K, and what may come before the answer (never, for most kinds). */
export type AnswerTo<K extends RequestKind> = Extract<Message, { kind: DefinitionOf<K>['answer'] }>;
export type PartOf<K extends RequestKind> = Extract<Message, { kind: DefinitionOf<K>['part'] }>;

/** Kinds that stand alone: neither request nor answer. */
export type NoticeKind = 'hello' | 'welcome' | 'failure' | 'leave';
export type Notice = MessageOfKind<NoticeKind>;

const byKind = new Map<string, MessageDefinition>(
  Object.values(definitions).map((definition) => [definition.kind, definition]),
);

/** The grammar of a kind, or undefined for a name that no message has. */
export function definitionOf(kind: string): MessageDefinition | undefined {
  return byKind.get(kind);
}

export const KINDS: readonly Kind[] = Object.values(definitions).map((definition) => definition.kind);

/** Whether a message is a request, by its definition having an answer. */
export function isRequest(message: Message): message is Request {
  return typeof byKind.get(message.kind)?.answer === 'string';
}
