/** Desktops that a dialogue can be led through without a monitor. */
import { PassThrough } from 'node:stream';
import type {
  Desktop,
  DesktopAnswer,
  Desktops,
  NewDesktop,
  Reauthentication,
  Viewer,
} from '../../subsystems/display/desktops.ts';

export const someId = 'F1635DBB127AEA34BDFCCC6CE872FD6D';

export function fakeDesktop(more: Partial<Desktop> = {}): Desktop {
  return {
    id: someId,
    name: 'My work',
    owner: 'alice',
    state: 'detached',
    engine: 'xvnc',
    type: 'unix-desktop',
    rootless: false,
    display: 101,
    width: 1280,
    height: 800,
    depth: 24,
    startedAt: '2026-01-02T03:04:05.000Z',
    lastUsedAt: '2026-01-02T03:04:05.000Z',
    viewers: 0,
    ...more,
  };
}

const notFound = {
  is: 'failed',
  failure: 'notFound',
  text: 'There is no such desktop.',
  logTail: [],
} as const;

export class FakeViewer implements Viewer {
  readonly stream = new PassThrough();
  readonly cookie = '';
  onEnd: Viewer['onEnd'] = () => {};
  onWarning: (line: string) => void = () => {};
}

export class FakeDesktops implements Desktops {
  readonly user = 'alice';
  desktops: Desktop[] = [];
  readonly asked: string[] = [];
  readonly orders: NewDesktop[] = [];
  readonly viewers: FakeViewer[] = [];
  /** DesktopReauth: what is asked and said, in this order. */
  isReauthWanted = false;
  isShown = false;
  readonly questions: Reauthentication[] = [];
  readonly answers: Buffer[][] = [];
  /** In place of the next answer of `start` and `findOrStart`. */
  startFailure: DesktopAnswer<never> | undefined;

  #one(which: string): DesktopAnswer<Desktop> {
    const found = this.desktops.find(
      ({ id, name }) => id === which.toUpperCase() || name === which,
    );
    return found === undefined ? notFound : { is: 'done', value: found };
  }

  async list(): Promise<DesktopAnswer<readonly Desktop[]>> {
    return { is: 'done', value: this.desktops };
  }
  async start(order: NewDesktop): Promise<DesktopAnswer<Desktop>> {
    this.orders.push(order);
    if (this.startFailure !== undefined) {
      return this.startFailure;
    }
    const desktop = fakeDesktop({ name: order.name, state: 'running' });
    this.desktops.push(desktop);
    return { is: 'done', value: desktop };
  }
  async find(which: string): Promise<DesktopAnswer<Desktop>> {
    this.asked.push(`find ${which}`);
    return this.#one(which);
  }
  findOrStart(name: string): Promise<DesktopAnswer<Desktop>> {
    const none = { protocol: '', type: '', width: 0, height: 0, depth: 0, parameters: new Map() };
    return this.start({ name: name || 'default', ...none });
  }
  async attach(id: string): Promise<DesktopAnswer<Viewer>> {
    this.asked.push(`attach ${id}`);
    if (this.isReauthWanted && !this.isShown) {
      return { is: 'failed', failure: 'reauthentication', text: 'Who are you?', logTail: [] };
    }
    const viewer = new FakeViewer();
    this.viewers.push(viewer);
    return { is: 'done', value: viewer };
  }
  async reauthenticate(id: string): Promise<DesktopAnswer<Reauthentication>> {
    this.asked.push(`reauthenticate ${id}`);
    return this.#nextQuestion();
  }
  async answer(answers: readonly Buffer[]): Promise<DesktopAnswer<Reauthentication>> {
    this.answers.push(answers.map((one) => Buffer.from(one)));
    answers.forEach((one) => one.fill(0));
    return this.#nextQuestion();
  }
  #nextQuestion(): DesktopAnswer<Reauthentication> {
    const next = this.questions.shift();
    if (next === undefined) {
      return { is: 'failed', failure: 'refused', text: 'Nothing is asked.', logTail: [] };
    }
    this.isShown ||= next.is === 'accepted';
    return { is: 'done', value: next };
  }
  async suspend(id: string): Promise<DesktopAnswer<void>> {
    this.asked.push(`suspend ${id}`);
    return { is: 'done', value: undefined };
  }
  async terminate(id: string): Promise<DesktopAnswer<void>> {
    this.asked.push(`terminate ${id}`);
    return { is: 'done', value: undefined };
  }
}
