/** Who may resume a desktop without being asked, and for how long; who has started one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  DesktopAttach,
  DesktopFind,
  DesktopStart,
  DesktopSuspend,
  desktopFailure,
} from '../../../../src/broker/link.ts';
import { type Ask, ResumeGuard } from '../../../../src/broker/resume-guard.ts';
import type { Call } from '../../../../src/ssh/wire/call.ts';
import { type AnyFields, encodeFields, type Values } from '../../../../src/ssh/wire/field.ts';
import { CallFailure } from '../../../../src/ssh/wire/peer.ts';

const owner = { user: 'alice', uid: 1000 };
const minuteMs = 60_000;

/** Desktops by name, as whoever owns them answers. */
class Owned {
  readonly names = new Map<string, string>();
  readonly asked: string[] = [];
  readonly started: Values<AnyFields>[] = [];
  /** Between a look that finds nothing and the start. */
  onNotFound = (): void => {};

  readonly ask: Ask = async ({ name }, values) => {
    this.asked.push(name);
    const which = String(values['which'] ?? values['name'] ?? values['id']);
    const id = this.names.get(which);
    if (name === DesktopStart.name) {
      this.started.push(values);
      if (id !== undefined) {
        throw new CallFailure(desktopFailure.nameTaken, 'taken');
      }
      this.names.set(which, `ID-${which}`);
      return { values: { desktop: { id: `ID-${which}` } } as never };
    }
    if (name === DesktopFind.name && id === undefined) {
      this.onNotFound();
      throw new CallFailure(desktopFailure.notFound, 'none');
    }
    return { values: { desktop: { id } } as never };
  };
}

function guardAt(clock: { nowMs: number }, isWanted = true) {
  const guard = new ResumeGuard(
    () => isWanted,
    () => clock.nowMs,
  );
  const owned = new Owned();
  const login = (viewing: string[] = [], obstacle?: string) => {
    const resumer = { key: {}, viewing: () => viewing, obstacle };
    const call = (schema: unknown, values: object) =>
      guard.answer(
        resumer,
        owner,
        schema as Call<AnyFields, AnyFields>,
        { session: 1, ...values } as Values<AnyFields>,
        owned.ask,
      );
    return {
      resumer,
      attach: (id: string) => call(DesktopAttach, { id }),
      find: (which: string, create: 0 | 1) => call(DesktopFind, { which, create }),
      start: (name: string) => call(DesktopStart, { name }),
      suspend: (id: string) => call(DesktopSuspend, { id }),
    };
  };
  return { guard, owned, login };
}

const asksFirst = (error: unknown): boolean =>
  error instanceof CallFailure && error.code === desktopFailure.reauthentication;

describe('ResumeGuard', () => {
  test('a start in place of a find is a whole request', async () => {
    const { owned, login } = guardAt({ nowMs: 0 });
    await login().find('', 1);
    const [values] = owned.started;
    const whole = { connection: 1, ...values } as Values<(typeof DesktopStart)['request']>;
    assert.ok(encodeFields(DesktopStart.request, whole).length > 0);
  });

  test('a desktop that is there opens to nobody unasked, and everything else is as ever', async () => {
    const { owned, login } = guardAt({ nowMs: 0 });
    owned.names.set('work', 'ID-work');
    const one = login();
    await one.find('work', 0);
    await one.suspend('ID-work');
    await assert.rejects(one.attach('ID-work'), asksFirst);
    assert.deepEqual(owned.asked, ['desktop-find', 'desktop-suspend'], 'nobody was attached');
  });

  test('for a minute, and for one login and one desktop alone', async () => {
    const clock = { nowMs: 0 };
    const { guard, login } = guardAt(clock);
    const [one, other] = [login(), login()];
    guard.note(one.resumer, 'ID-work');
    await one.attach('ID-work');
    await assert.rejects(one.attach('ID-play'), asksFirst);
    await assert.rejects(other.attach('ID-work'), asksFirst);
    clock.nowMs = minuteMs;
    await one.attach('ID-work');
    clock.nowMs = 2 * minuteMs;
    await one.attach('ID-work');
    clock.nowMs = 3 * minuteMs + 1;
    await assert.rejects(one.attach('ID-work'), asksFirst);
  });

  test('as long as the login looks at it', async () => {
    const clock = { nowMs: 0 };
    const { login } = guardAt(clock);
    const viewing = ['ID-work'];
    const one = login(viewing);
    clock.nowMs = 100 * minuteMs;
    await one.attach('ID-work');
    viewing.pop();
    clock.nowMs = 102 * minuteMs;
    await assert.rejects(one.attach('ID-work'), asksFirst);
  });

  test('who has started it opens it; who has found it does not, however close it was', async () => {
    const { owned, login } = guardAt({ nowMs: 0 });
    const one = login();
    await one.find('', 1);
    await one.attach('ID-default');
    const late = login();
    owned.names.clear();
    owned.onNotFound = () => void owned.names.set('default', 'ID-default');
    await late.find('', 1);
    await assert.rejects(late.attach('ID-default'), asksFirst);
    await one.start('work');
    await one.attach('ID-work');
  });

  test('who cannot be asked is told why; without the keyword nobody is', async () => {
    const cannot = guardAt({ nowMs: 0 }).login([], 'no PAM here');
    await assert.rejects(
      cannot.attach('ID-work'),
      (error) =>
        error instanceof CallFailure &&
        error.code === desktopFailure.refused &&
        error.text === 'no PAM here',
    );
    const { owned, login } = guardAt({ nowMs: 0 }, false);
    await login([], 'no PAM here').attach('ID-work');
    await assert.rejects(login().find('', 1));
    assert.deepEqual(owned.asked, ['desktop-attach', 'desktop-find'], 'found and started in one');
  });
});
