export type { HttpOptions } from './listen.ts';
export { createWsTransport } from './ws-transport.ts';
