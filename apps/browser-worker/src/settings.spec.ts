import { describe, expect, it } from 'vitest';
import { fieldsOf, settingsOf } from './settings.ts';

const PAGE = 'http://127.0.0.1:7420/worker/';

describe('the fragment', () => {
  it('fills in what it holds', () => {
    expect(fieldsOf(`${PAGE}#token=a%26b&coordinator=https%3A%2F%2Fhost%3A1&memory=64`)).toEqual({
      coordinator: 'https://host:1',
      token: 'a&b',
      memory: '64',
    });
  });

  it.each([
    [PAGE, 'http://127.0.0.1:7420/'],
    [`${PAGE}index.html?x=1#`, 'http://127.0.0.1:7420/'],
    ['https://example.org/cluster/worker/#', 'https://example.org/cluster/'],
  ])('%s leaves the coordinator that served the page', (url, coordinator) => {
    expect(fieldsOf(url)).toEqual({ coordinator });
  });
});

describe('settings', () => {
  const fields = { coordinator: 'host:7420', token: '', memory: '512' };

  it.each([
    ['host:7420', 'http://host:7420/'],
    [' ws://host:7420 ', 'http://host:7420/'],
    ['wss://host', 'https://host/'],
    ['http://host/', 'http://host/'],
    ['https://host/cluster', 'https://host/cluster/'],
  ])('%s is %s', (coordinator, coordinatorUrl) => {
    expect(settingsOf({ ...fields, coordinator })).toEqual({
      coordinatorUrl,
      token: null,
      capacityBytes: 512 * 2 ** 20,
    });
  });

  it('keep the token as it is, without the spaces of a copy', () => {
    expect(settingsOf({ ...fields, token: ' s e ' }).token).toBe('s e');
  });

  it.each(['', 'ftp://host', 'http://', 'http://me:secret@host', 'http://host/?token=x', 'http://host/#x'])(
    'refuse the coordinator %j',
    (coordinator) => {
      expect(() => settingsOf({ ...fields, coordinator })).toThrow(
        expect.objectContaining({ code: 'URL_INVALID' }),
      );
    },
  );

  it.each(['', '0', '-1', '1.5', 'much', '1048577'])('refuse %j MiB', (memory) => {
    expect(() => settingsOf({ ...fields, memory })).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
