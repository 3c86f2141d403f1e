export { createBrowserTransport } from './browser-transport.ts';
