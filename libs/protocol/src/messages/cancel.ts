import { defineMessage } from '../define-message.ts';
import { u32 } from '../schema.ts';

/**
 * Gives up the request `id`. No answer need follow; one that crosses it is ignored. Unknown ids are fine.
 *
 * cancel => id
 */
export const cancel = defineMessage({ kind: 'cancel', head: { id: u32 } });
