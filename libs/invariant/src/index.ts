export { AssertionError, assert, unreachable } from './assert.ts';
export { OperatingError } from './operating-error.ts';
