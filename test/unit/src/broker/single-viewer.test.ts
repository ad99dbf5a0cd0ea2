/** One viewer at a time: what is done in which order, and what is given up. Runs in: test. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EngineOrder, ViewerState } from '../../../../src/broker/engine.ts';
import { readNote, SingleViewerDesktop } from '../../../../src/broker/single-viewer.ts';

const order: EngineOrder = {
  id: 'F'.repeat(32),
  type: 'unix-desktop',
  display: 101,
  userDirectory: '/d/user',
  xauthorityPath: '/d/user/Xauthority',
  width: 800,
  height: 600,
  depth: 24,
  parameters: new Map([['link', 'lan']]),
};

/** Its log is its state; a signal and a connection change it as nxagent's would. */
class FakeAgent {
  readonly done: string[] = [];
  readonly ended = new AbortController();
  state: ViewerState = 'waiting';
  /** How many looks a change takes; Infinity: it hangs. */
  looks = 3;
  note: Buffer = Buffer.alloc(0);
  #next: { readonly state: ViewerState; left: number } | undefined;
  #cookies = 0;
  #lines = 0;

  /** Of its own accord. */
  settle(state: ViewerState): void {
    this.#next = undefined;
    this.state = state;
    this.#lines++;
  }

  #change(by: string, state: ViewerState): void {
    this.done.push(by);
    this.#next = { state, left: this.looks };
    this.state = 'changing';
    this.#lines++;
  }

  desktop(begin: (() => Promise<void>) | undefined): SingleViewerDesktop {
    const leader = {
      writeFiles: async (below: string, files: readonly { name: string; content: Buffer }[]) => {
        this.done.push(`${below}: ${files.map(({ content }) => String(content)).join(' ')}`);
      },
      signalProcess: async () =>
        this.#change('HUP', this.state === 'running' ? 'suspended' : 'waiting'),
      logTail: async () => {
        if (this.#next !== undefined && this.#next.left-- <= 0) {
          this.state = this.#next.state;
          this.#next = undefined;
          this.#lines++;
        }
        return Buffer.from(`${this.#lines} ${this.state}`);
      },
      connectUnix: async () => {
        this.#next = { state: 'running', left: this.looks };
        this.done.push('connect');
        return 7;
      },
      desktopNote: async (note: Buffer) => {
        this.note = note;
      },
    };
    return new SingleViewerDesktop(
      {
        leader,
        signal: this.ended.signal,
        engine: {
          below: 'nx',
          files: (of, cookie) => [
            { name: 'options', content: Buffer.from(`${of.parameters.get('link')} ${cookie}`) },
          ],
          stateOf: (tail) => tail.split(' ')[1] as ViewerState,
        },
        handle: 3,
        displayCookie: Buffer.alloc(16, 9),
        socketPath: '/d/user/nx/proxy.sock',
        sleepMs: () => new Promise((resolve) => setImmediate(resolve)),
        newCookie: () => `cookie${++this.#cookies}`,
        log: (line) => this.done.push(line),
      },
      order,
      'cookie0',
      begin,
    );
  }
}

const asked = (link: string): EngineOrder => ({ ...order, parameters: new Map([['link', link]]) });

describe('a desktop of one viewer', { timeout: 20_000 }, () => {
  test('the first viewer has the cookie of the start, and the session begins behind it, once', async () => {
    const agent = new FakeAgent();
    const begun = Promise.withResolvers<void>();
    let count = 0;
    const desktop = agent.desktop(async () => {
      count++;
      begun.resolve();
    });
    await desktop.ready();
    assert.equal(readNote(agent.note)?.hasSession, false);
    const first = await desktop.connect(order, () => agent.done.push('cut'));
    assert.deepEqual(first, { descriptor: 7, cookie: 'cookie0' });
    assert.deepEqual(agent.done, ['cut', 'connect']);
    assert.equal(count, 0, 'there is no screen yet');
    await begun.promise;
    await desktop.connect(order, () => undefined);
    assert.equal(count, 1);
    const note = readNote(agent.note);
    assert.deepEqual(
      [note?.handle, note?.hasSession, note?.displayCookie.toString('hex')],
      [3, true, '09'.repeat(16)],
    );
    assert.deepEqual([...(note?.parameters ?? [])], [['link', 'lan']]);
  });

  test('a take-over: suspended, cut off, told anew, resumed; with a cookie that is new', async () => {
    const agent = new FakeAgent();
    const desktop = agent.desktop(undefined);
    await desktop.connect(order, () => undefined);
    agent.done.length = 0;
    const second = await desktop.connect(asked('modem'), () =>
      agent.done.push(`cut ${agent.state}`),
    );
    assert.equal(second.cookie, 'cookie1');
    assert.deepEqual(agent.done, ['HUP', 'cut suspended', 'nx: modem cookie1', 'HUP', 'connect']);
    assert.equal(desktop.order.parameters.get('link'), 'modem');
  });

  test('two at once are served one after the other', async () => {
    const agent = new FakeAgent();
    const desktop = agent.desktop(undefined);
    const both = await Promise.all([
      desktop.connect(asked('isdn'), () => undefined),
      desktop.connect(asked('adsl'), () => undefined),
    ]);
    assert.deepEqual(
      both.map(({ cookie }) => cookie),
      ['cookie0', 'cookie1'],
    );
    assert.deepEqual(agent.done, ['connect', 'HUP', 'nx: adsl cookie1', 'HUP', 'connect']);
  });

  test('one that hangs is cut off, and given up in time; the next is tried again', async () => {
    const agent = new FakeAgent();
    const desktop = agent.desktop(undefined);
    await desktop.connect(order, () => undefined);
    await desktop.suspend();
    agent.looks = Number.POSITIVE_INFINITY;
    await assert.rejects(
      desktop.connect(order, () => undefined),
      /it is changing and not waiting/,
    );
    agent.looks = 3;
    agent.settle('suspended');
    const again = await desktop.connect(order, () => undefined);
    assert.deepEqual(again, { descriptor: 7, cookie: 'cookie2' });
  });

  test('its end ends the wait', async () => {
    const agent = new FakeAgent();
    agent.looks = Number.POSITIVE_INFINITY;
    const desktop = agent.desktop(undefined);
    await desktop.connect(order, () => undefined);
    agent.ended.abort();
    await assert.rejects(
      desktop.connect(order, () => undefined),
      /it has ended/,
    );
  });

  test('what is no note is none', () => {
    for (const bytes of ['', '{', 'null', '{"handle":"1"}', '{"handle":1,"displayCookie":2}']) {
      assert.equal(readNote(Buffer.from(bytes)), undefined, bytes);
    }
  });
});
