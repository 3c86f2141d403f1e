export { ACTIVATIONS_HELP, parseActivations } from './activations-name.ts';
export { BACKEND_HELP, BACKENDS, type Backend, parseBackend, parseBackends } from './backend-name.ts';
export { type BackendProbe, chooseBackend } from './choose-backend.ts';
export { type BackendOptions, openBackend } from './open-backend.ts';
export { probeBackends } from './probe-backends.ts';
