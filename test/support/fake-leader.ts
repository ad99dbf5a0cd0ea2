/** A desktop's leader that starts nothing: what it is told is written down, its end is on call. */
import { mkdirSync, openSync } from 'node:fs';
import type { DesktopLeader, LeaderPort } from '../../src/broker/leader-port.ts';

const nothing = Buffer.alloc(0);

export class FakeLeader {
  readonly pid = 4711;
  readonly orders: string[] = [];
  onExited: DesktopLeader['onExited'] = () => {};
  onDesktopEnded: DesktopLeader['onDesktopEnded'] = () => {};
  onGone: DesktopLeader['onGone'] = () => {};
  onAgentWanted: DesktopLeader['onAgentWanted'] = () => {};

  user: string;
  uid = 1001;
  accountCode = 0;
  sessionCode = 0;
  environment: readonly Buffer[] = [];
  /** What the X server does: answers, stays silent, or fails with this log. */
  server: 'ready' | 'silent' | { readonly log: string } = 'ready';
  /** Given to `watchWindows` when it is called. */
  mapped: Promise<number> = Promise.resolve(1);
  /** The session ends as soon as it was spawned. */
  sessionLog: string | undefined;
  description = { id: '', startedAt: '' };
  isEnded = false;
  readonly spawned: Parameters<DesktopLeader['spawn']>[0][] = [];

  constructor(user: string) {
    this.user = user;
  }

  async begin(values: Parameters<DesktopLeader['begin']>[0]) {
    this.orders.push(`begin ${values.kind} ${values.user} ${values.service} ${values.tty}`);
    return {
      exists: true,
      user: this.user,
      uid: this.uid,
      gid: this.uid,
      home: `/home/${this.user}`,
      shell: '/bin/bash',
      groups: [],
      shellState: 0,
      shadowState: 0,
    };
  }
  async account() {
    this.orders.push('account');
    return {
      returnCode: this.accountCode,
      newPasswordRequired: false,
      userChanged: false,
      messages: [],
    };
  }
  async establish(tty: string) {
    this.orders.push(`establish ${tty}`);
    const { sessionCode, environment } = this;
    return {
      setcredCode: 0,
      sessionCode,
      sessionText: '',
      environment,
      messages: [],
      rootRefusal: '',
    };
  }
  async desktopBegin(values: Parameters<DesktopLeader['desktopBegin']>[0]) {
    this.orders.push('desktop-begin');
    this.description = { id: values.id, startedAt: values.startedAt };
    mkdirSync(`${values.directory}/user/run`, { recursive: true });
  }
  async desktopDescribe() {
    const { user, uid, pid, description } = this;
    return { ...description, user, uid, pid, note: nothing };
  }
  async desktopNote() {}
  async writeFiles() {}
  async signalProcess() {}
  async spawn(order: Parameters<DesktopLeader['spawn']>[0]) {
    this.orders.push(`spawn ${order.file}`);
    this.spawned.push(order);
    const handle = this.spawned.length;
    if (order.reportDescriptor) {
      if (typeof this.server === 'object') {
        this.die(handle);
      }
      return { handle, pid: 1, tty: '', descriptors: [openSync('/dev/null', 'r')] };
    }
    if (this.sessionLog !== undefined) {
      this.die(handle);
    }
    return { handle, pid: 2, tty: '', descriptors: [] };
  }
  async connectUnix(path: string) {
    this.orders.push(`connect ${path.split('/').at(-1)}`);
    return openSync('/dev/null', 'r');
  }
  /** Of the display, when it is asked. */
  size: () => Promise<{ width: number; height: number }> = async () => {
    throw new Error('ECONNREFUSED');
  };
  displaySize() {
    return this.size();
  }
  watchWindows() {
    return this.mapped;
  }
  async takeTickets(from: string) {
    this.orders.push(`take-tickets ${from}`);
    return '';
  }
  async agentWatch() {
    this.orders.push('agent-watch');
  }
  async agentTake(socket: number) {
    this.orders.push(`agent-take ${socket}`);
    return openSync('/dev/null', 'r');
  }
  async agentDone(socket: number) {
    this.orders.push(`agent-done ${socket}`);
  }
  async logTail() {
    return Buffer.from(typeof this.server === 'object' ? this.server.log : (this.sessionLog ?? ''));
  }
  async end(_graceMs: number) {
    this.orders.push('end');
    this.gone();
  }
  drop(): void {
    this.orders.push('drop');
  }

  /** An essential process ends, then the desktop, then the leader. */
  die(handle: number): void {
    setImmediate(() => {
      this.onExited({ handle, status: 3, signal: 0, coreDumped: false });
      setImmediate(() => {
        this.onDesktopEnded('a process of the desktop ended', '');
        this.gone();
      });
    });
  }

  gone(): void {
    this.isEnded = true;
    setImmediate(() => this.onGone());
  }
}

export class FakeLeaders implements LeaderPort {
  readonly started: FakeLeader[] = [];
  /** By directory: who answers after a restart. */
  readonly reachable = new Map<string, FakeLeader>();
  prepare: (leader: FakeLeader) => void = () => {};

  async startDesktopLeader(owner: string) {
    const leader = new FakeLeader(owner);
    this.prepare(leader);
    this.started.push(leader);
    return leader;
  }
  async reconnect(directory: string) {
    const leader = this.reachable.get(directory);
    if (leader === undefined) {
      throw new Error('ECONNREFUSED');
    }
    return leader;
  }
}
