/** The code of a failed system call (`ENOENT`); anything else is not this layer's to translate and is thrown again. */
export function errorCode(error: unknown): string {
  if (error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string')
    return error.code;
  throw error;
}
