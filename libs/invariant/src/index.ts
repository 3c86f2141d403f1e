export { AssertionError, assert, present, unreachable } from './assert.ts';
export { OperatingError } from './operating-error.ts';
