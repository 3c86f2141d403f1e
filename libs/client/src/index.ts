export {
  type Client,
  type ClientOptions,
  connectClient,
  type GenerateRequest,
  type Generation,
} from './client.ts';
