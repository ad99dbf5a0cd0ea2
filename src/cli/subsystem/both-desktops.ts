/**
 * A user's desktops where two own some: the machine's daemon, and before it was started this user's
 * own processes. What is new is the daemon's. Runs in: user.
 */
import { defaultName } from '../../broker/naming.ts';
import type {
  AttachOrder,
  Desktop,
  DesktopAnswer,
  Desktops,
  NewDesktop,
  Reauthentication,
  Viewer,
} from '../../../subsystems/display/desktops.ts';

export class BothDesktops implements Desktops {
  readonly #daemons: Desktops;
  readonly #own: Desktops;

  constructor(daemons: Desktops, own: Desktops) {
    this.#daemons = daemons;
    this.#own = own;
  }

  get user(): string {
    return this.#daemons.user;
  }

  /** The daemon's answer, unless it knows no such desktop. */
  async #either<T>(
    ask: (desktops: Desktops) => Promise<DesktopAnswer<T>>,
  ): Promise<DesktopAnswer<T>> {
    const first = await ask(this.#daemons);
    return first.is === 'failed' && first.failure === 'notFound' ? ask(this.#own) : first;
  }

  async list(): Promise<DesktopAnswer<readonly Desktop[]>> {
    const daemons = await this.#daemons.list();
    const own = await this.#own.list();
    if (daemons.is === 'failed') {
      return daemons;
    }
    return own.is === 'failed' ? own : { is: 'done', value: [...daemons.value, ...own.value] };
  }

  start(order: NewDesktop): Promise<DesktopAnswer<Desktop>> {
    return this.#daemons.start(order);
  }

  find(which: string): Promise<DesktopAnswer<Desktop>> {
    return this.#either((desktops) => desktops.find(which));
  }

  async findOrStart(name: string): Promise<DesktopAnswer<Desktop>> {
    const found = await this.find(name === '' ? defaultName : name);
    return found.is === 'failed' && found.failure === 'notFound'
      ? this.#daemons.findOrStart(name)
      : found;
  }

  attach(id: string, as: AttachOrder): Promise<DesktopAnswer<Viewer>> {
    return this.#either((desktops) => desktops.attach(id, as));
  }

  reauthenticate(id: string): Promise<DesktopAnswer<Reauthentication>> {
    return this.#daemons.reauthenticate(id);
  }

  answer(answers: readonly Buffer[]): Promise<DesktopAnswer<Reauthentication>> {
    return this.#daemons.answer(answers);
  }

  suspend(id: string): Promise<DesktopAnswer<void>> {
    return this.#either((desktops) => desktops.suspend(id));
  }

  terminate(id: string): Promise<DesktopAnswer<void>> {
    return this.#either((desktops) => desktops.terminate(id));
  }
}
