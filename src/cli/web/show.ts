/**
 * `connect --web`: the desktop in the browser of this computer, from the door's opening to the last
 * page's end. Runs in: user.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { ClientSession } from '../../ssh/client/session.ts';
import type { Desktops } from '../connect/desktop.ts';
import type { Terminal } from '../connect/terminal.ts';
import { Attendance } from './attendance.ts';
import type { Patience } from './attendance.ts';
import { LeadingPage, browserCommands, hasBrowser, openBrowser } from './browser.ts';
import { WebDoor } from './door.ts';
import type { PageSettings } from './door.ts';
import { Seat } from './seat.ts';
import { closeCodes } from './viewer-socket.ts';
import type { ViewerSocket } from './viewer-socket.ts';

export interface WebRequest {
  /** 0: any that is free. */
  readonly port: number;
  /** Browsers at a time; each has an address of its own. */
  readonly viewers: number;
  readonly isOpened: boolean;
}

/** How long the addresses are good. */
const tokenMs = 5 * 60 * 1000;
const patience: Patience = { firstMs: tokenMs, returnMs: 10_000 };
const lossMs = 1000;
/** Pages of one browser that are being closed or opened: a reload, a second tab. */
const maxPagesPerSeat = 4;

/** What became of it: a sentence for page and terminal. */
interface Ending {
  readonly code: number;
  readonly text: string;
  readonly isFailure: boolean;
}

export class WebShow {
  readonly #desktops: Desktops;
  readonly #terminal: Terminal;
  readonly #attendance = new Attendance(patience);
  readonly #pages = new Map<Seat, Set<ViewerSocket>>();
  readonly #ended = Promise.withResolvers<Ending>();
  readonly #door: WebDoor;
  readonly #tokens: readonly string[];
  readonly #request: WebRequest;
  readonly #session: ClientSession;
  /** Also while it is being written: whoever ends meanwhile removes it. */
  #leading: Promise<LeadingPage | null> = Promise.resolve(null);
  #isWarned = false;
  #isOver = false;

  constructor(
    desktops: Desktops,
    terminal: Terminal,
    request: WebRequest,
    session: ClientSession,
    page: PageSettings,
  ) {
    this.#desktops = desktops;
    this.#terminal = terminal;
    this.#request = request;
    this.#session = session;
    this.#tokens = Array.from({ length: request.viewers }, () => Seat.newToken());
    const seats = this.#tokens.map((token) => new Seat(token, tokenMs));
    for (const seat of seats) this.#pages.set(seat, new Set());
    this.#door = new WebDoor(seats, page, {
      onViewer: (seat, socket) => void this.#serve(seat, socket),
      onAdmitted: () => void this.#leading.then((page) => page?.close()),
      onSecondUse: () => this.#warn(),
    });
  }

  /** Once: who has the address could fill the terminal with it. */
  #warn(): void {
    if (this.#isWarned) return;
    this.#isWarned = true;
    this.#terminal.line(
      'Warning: the address of this desktop was used a second time, and refused. If the desktop is not in your browser, somebody else was first: press Ctrl-C.',
    );
  }

  /** Resolves when the last page has gone or the desktop has ended. */
  async run(signal: AbortSignal): Promise<void> {
    void this.#session.ended.then((failure) => {
      const text = `The connection is lost: ${failure?.detail ?? 'it was closed'}`;
      this.#ended.resolve({ code: closeCodes.connectionLost, text, isFailure: true });
    });
    const interrupted: Ending = {
      code: closeCodes.clientEnded,
      text: 'sshdesk was ended in its terminal.',
      isFailure: false,
    };
    signal.addEventListener('abort', () => this.#ended.resolve(interrupted), { once: true });
    void this.#attendance.over.then((how) => this.#ended.resolve(absent(how)));
    try {
      await this.#door.open(this.#request.port);
      // A browser may take its time; Ctrl-C does not wait for it.
      await Promise.race([this.#announce(), this.#ended.promise]);
      const { code, text, isFailure } = await this.#ended.promise;
      this.#closePages(code, text);
      if (isFailure) throw new ClientFailure('desktop', text);
      if (!signal.aborted) this.#terminal.line(text);
    } finally {
      this.#isOver = true;
      this.#attendance.stop();
      this.#door.close();
      await (await this.#leading)?.close();
    }
  }

  /** Starts the browser, or says where it is to go. */
  async #announce(): Promise<void> {
    const [first = '', ...others] = this.#tokens.map((token) => `${this.#door.origin}/#${token}`);
    this.#terminal.progress('');
    const isOpened = this.#request.isOpened && (await this.#lead(first));
    if (this.#isOver) return;
    const once = `(once, within ${tokenMs / 60_000} minutes)`;
    this.#terminal.line(
      isOpened
        ? `The desktop is in your browser. If it is not, open this address ${once}:`
        : `Open this address in a browser of this computer ${once}:`,
    );
    process.stdout.write(`${first}\n`);
    if (others.length > 0) {
      this.#terminal.line(`For other browsers, each ${once}:`);
      process.stdout.write(others.map((address) => `${address}\n`).join(''));
    }
  }

  /** False: no browser could be started; the address will do. */
  async #lead(address: string): Promise<boolean> {
    if (!hasBrowser(process.env, process.platform)) return false;
    this.#leading = LeadingPage.write(address, process.env).catch((error: Error) => {
      this.#terminal.line(`Warning: no browser is started: ${error.message}`);
      return null;
    });
    const page = await this.#leading;
    if (page === null || this.#isOver) return false;
    const commands = browserCommands(process.env, process.platform, page.address);
    return openBrowser(commands, process.env);
  }

  async #serve(seat: Seat, socket: ViewerSocket): Promise<void> {
    const pages = this.#pages.get(seat);
    if (!pages || pages.size >= maxPagesPerSeat) {
      socket.close(closeCodes.desktopFailed, 'Too many pages at once.');
      return;
    }
    // A reload may come before the browser has closed what it reloads: the newest page has the desktop.
    for (const older of pages) {
      older.close(closeCodes.shownElsewhere, 'The desktop is shown in another tab.');
    }
    pages.add(socket);
    this.#attendance.arrive();
    try {
      await this.#relay(socket);
    } catch (error) {
      const text = error instanceof ClientFailure ? error.detail : String(error);
      this.#ended.resolve({ code: closeCodes.desktopFailed, text, isFailure: true });
      socket.close(closeCodes.desktopFailed, text);
    } finally {
      await socket.closed;
      pages.delete(socket);
      this.#attendance.leave();
    }
  }

  async #relay(socket: ViewerSocket): Promise<void> {
    const channel = await this.#desktops.open();
    this.#terminal.progress('');
    if (!socket.isOpen) {
      channel.close();
      return;
    }
    const end = await socket.relay(channel);
    if (end.by === 'page') return;
    // A connection that is lost takes its channels first, and says so a moment later.
    if (end.status === null)
      await Promise.race([this.#session.ended, delay(lossMs, null, { ref: false })]);
    // Suspended: 0. With any other status it has ended, and the server has said why.
    const isFailure = end.status !== 0 && end.status !== null;
    const text = isFailure ? 'The desktop has ended.' : 'The desktop has closed the connection.';
    socket.close(closeCodes.desktopEnded, text);
    this.#ended.resolve({ code: closeCodes.desktopEnded, text, isFailure });
  }

  #closePages(code: number, text: string): void {
    for (const pages of this.#pages.values()) {
      for (const page of pages) page.close(code, text);
    }
  }
}

function absent(how: 'never-came' | 'left'): Ending {
  const { clientEnded: code } = closeCodes;
  return how === 'left'
    ? { code, text: 'The page was closed; the desktop goes on.', isFailure: false }
    : {
        code,
        text: `Nobody has opened the desktop's page within ${tokenMs / 60_000} minutes.`,
        isFailure: true,
      };
}
