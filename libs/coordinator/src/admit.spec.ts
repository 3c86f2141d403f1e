import { applyEvent, EMPTY_VIEW, type Member } from '@ultramem/membership';
import type { MessageOfKind } from '@ultramem/protocol';
import { describe, expect, it } from 'vitest';
import { type AdmissionRules, invalidHello } from './admit.ts';

type Hello = MessageOfKind<'hello'>;

const worker = { workerId: 'a', instance: 'a1', capacityBytes: 1, backend: 'reference', fingerprint: 'f' };
const hello: Hello = {
  kind: 'hello',
  protocolMin: 1,
  protocolMax: 1,
  software: 'test/1',
  role: 'worker',
  token: 'secret',
  worker,
};
const rules: AdmissionRules = { token: 'secret', fingerprint: 'f', view: EMPTY_VIEW };

function refusal(changes: Partial<Hello>, changedRules: Partial<AdmissionRules> = {}) {
  const error = invalidHello({ ...hello, ...changes }, { ...rules, ...changedRules });
  if (error !== null) expect(error.message.split('; ')).toHaveLength(3);
  return error && { code: error.code, message: error.message };
}

describe('invalidHello', () => {
  it('lets in who fits', () => {
    expect(refusal({})).toBeNull();
    expect(refusal({ protocolMin: 0, protocolMax: 9 })).toBeNull();
    expect(refusal({ token: null }, { token: null })).toBeNull();
    expect(refusal({ token: 'anything' }, { token: null })).toBeNull();
    expect(refusal({ role: 'client', worker: null })).toBeNull();
  });

  it.each([
    { protocolMin: 2, protocolMax: 3 },
    { protocolMin: 0, protocolMax: 0 },
  ])('refuses another protocol: %o', (versions) => {
    expect(refusal(versions)).toMatchObject({
      code: 'PROTOCOL_VERSION',
      message: expect.stringContaining('test/1'),
    });
  });

  it.each([null, '', 'Secret', 'secre', 'secret ', 'secret\0'])('refuses the token %j', (token) => {
    const message = expect.stringContaining(token === null ? 'gave no token' : 'gave a wrong token');
    expect(refusal({ token })).toMatchObject({ code: 'UNAUTHORIZED', message });
    expect(refusal({ token, role: 'client', worker: null })).toMatchObject({ code: 'UNAUTHORIZED' });
  });

  it('refuses another checkpoint', () => {
    expect(refusal({ worker: { ...worker, fingerprint: 'g' } })).toMatchObject({
      code: 'CHECKPOINT_MISMATCH',
      message: expect.stringContaining('worker a has the checkpoint g; expected f'),
    });
  });

  it('refuses a worker that says nothing of itself, or has no memory', () => {
    expect(refusal({ worker: null })).toMatchObject({ code: 'MALFORMED_MESSAGE' });
    expect(refusal({ worker: { ...worker, capacityBytes: 0 } })).toMatchObject({
      code: 'PLAN_IMPOSSIBLE',
      message: expect.stringContaining('worker a has no memory for slices'),
    });
  });

  it('refuses more workers than a status can list', () => {
    const members = Array.from(
      { length: 4096 },
      (_, i): Member => ({
        ...worker,
        workerId: `w${i}`,
        peerName: 'there:1',
        state: 'standby',
        shard: null,
        epoch: 0,
      }),
    );
    const view = { epoch: 4096, members };
    expect(refusal({}, { view })).toMatchObject({
      code: 'OVERLOADED',
      message: expect.stringContaining('4096 workers are connected already'),
    });
    expect(refusal({}, { view: { ...view, members: members.slice(1) } })).toBeNull();
    expect(refusal({ role: 'client', worker: null }, { view })).toBeNull();
  });

  it('tells a second process with one id from the first one coming back', () => {
    const member = { ...worker, peerName: 'there:1' };
    const view = applyEvent(EMPTY_VIEW, { kind: 'joined', member });
    expect(refusal({}, { view })).toBeNull();
    expect(refusal({ worker: { ...worker, workerId: 'b', instance: 'b1' } }, { view })).toBeNull();
    expect(refusal({ worker: { ...worker, instance: 'a2' } }, { view })).toMatchObject({
      code: 'DUPLICATE_WORKER',
      message: expect.stringContaining('there:1'),
    });
  });
});
