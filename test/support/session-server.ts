/**
 * Transport, userauth, connection protocol and session channels behind a loopback port, with an
 * authority and a host that need no privilege: `open` logs in with nothing, `alice` with the password
 * `secret` or by two prompts; commands run by /bin/sh over pipes as this user.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import type {
  HostedSession,
  SessionExitStatus,
  SessionHost,
  Started,
} from '../../src/session/host.ts';
import { PipeSource } from '../../src/session/pipe-source.ts';
import { type InternalSubsystems, sessionChannel } from '../../src/session/session-channel.ts';
import { Connector } from '../../src/forwarding/connector.ts';
import { directTcpip, type InternalTarget } from '../../src/forwarding/direct-tcpip.ts';
import { SocketRoom } from '../../src/forwarding/room.ts';
import type { Channel } from '../../src/ssh/connection/channel.ts';
import { Connection } from '../../src/ssh/connection/mux.ts';
import { splice } from '../../src/ssh/connection/pump.ts';
import { createServerTransport } from '../../src/ssh/transport/server-transport.ts';
import type { Transport } from '../../src/ssh/transport/transport.ts';
import type { Authority, AuthOutcome } from '../../src/ssh/userauth/authority.ts';
import { UserauthService } from '../../src/ssh/userauth/service.ts';
import { LocalSigner, makeHostKey } from './exchange-signer.ts';
import { makePipe } from './pipe.ts';
import { noForwards } from './no-forwards.ts';
import { settingsFor } from './transport-server.ts';

const canContinue = ['publickey', 'password', 'keyboard-interactive'];
const refused: AuthOutcome = { is: 'refused', canContinue };

/** A signature is taken for good: only a server that knows the session may check one. */
class LocalAuthority implements Authority {
  #user = '';
  async begin(user: Buffer): Promise<AuthOutcome> {
    this.#user = user.toString();
    return this.#user === 'open' ? { is: 'accepted' } : refused;
  }
  async none(begun: AuthOutcome): Promise<AuthOutcome> {
    return begun;
  }
  async password(password: Buffer): Promise<AuthOutcome> {
    return this.#user === 'alice' && password.toString() === 'secret'
      ? { is: 'accepted' }
      : refused;
  }
  async keyboardInteractive(): Promise<AuthOutcome> {
    return {
      is: 'prompt',
      name: Buffer.from('login'),
      instruction: Buffer.from('two answers'),
      prompts: [
        { text: Buffer.from('Password: '), echo: false },
        { text: Buffer.from('Colour: '), echo: true },
      ],
    };
  }
  async keyboardAnswers(answers: readonly Buffer[]): Promise<AuthOutcome> {
    return this.#user === 'alice' && answers.join() === 'secret,blue'
      ? { is: 'accepted' }
      : refused;
  }
  async startGssapi(): Promise<AuthOutcome> {
    return refused;
  }
  async gssapiToken(): Promise<AuthOutcome> {
    return refused;
  }
  async gssapiMic(): Promise<AuthOutcome> {
    return refused;
  }
  async queryKey(): Promise<AuthOutcome> {
    return { is: 'acceptable' };
  }
  async checkKey(): Promise<AuthOutcome> {
    return this.#user === 'alice' ? { is: 'accepted' } : refused;
  }
  async refuseMethod(): Promise<AuthOutcome> {
    return refused;
  }
}

/** One for all, as in a worker. */
const readBuffer = Buffer.alloc(64 * 1024);

class LocalSession implements HostedSession {
  readonly number = 1;
  onExit: (exit: SessionExitStatus) => void = () => {};
  onWarning: (line: string) => void = () => {};
  isClosed = false;
  child: ChildProcess | undefined;
  async pty(): Promise<boolean> {
    return false;
  }
  async env(): Promise<boolean> {
    return true;
  }
  async forwardAgent(): Promise<boolean> {
    return false;
  }
  async forwardX11(): Promise<boolean> {
    return false;
  }
  async signal(): Promise<boolean> {
    return false;
  }
  async start(kind: string, command: Buffer): Promise<Started> {
    if (kind === 'subsystem') {
      return { is: 'internal', name: command.toString() };
    }
    const [stdin, stdout, stderr] = [makePipe(), makePipe(), makePipe()];
    const child = spawn('/bin/sh', ['-c', command.toString()], {
      stdio: [stdin.read, stdout.write, stderr.write],
    });
    this.child = child;
    for (const descriptor of [stdin.read, stdout.write, stderr.write]) {
      closeSync(descriptor);
    }
    child.on('exit', (status, signal) => {
      this.onExit(
        signal === null
          ? { is: 'exited', status: status as number }
          : { is: 'signalled', signalName: signal.slice(3), coreDumped: false },
      );
    });
    return {
      is: 'process',
      stdin: new Socket({ fd: stdin.write, readable: false, writable: true }),
      stdout: new PipeSource(stdout.read, readBuffer),
      stderr: new PipeSource(stderr.read, readBuffer),
    };
  }
  close(): void {
    this.isClosed = true;
  }
}

export interface SessionServerOptions {
  readonly subsystems?: InternalSubsystems;
  readonly targets?: ReadonlyMap<string, InternalTarget>;
}

export class SessionServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly connections: Connection[] = [];
  readonly transports: Transport[] = [];
  readonly sessions: LocalSession[] = [];
  readonly bugs: unknown[] = [];
  /** Why connections ended, in order. */
  readonly ends: (Error | undefined)[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(options: SessionServerOptions = {}): Promise<SessionServer> {
    const server = createServer({ noDelay: true });
    const self = new SessionServer(server);
    const keys = [makeHostKey('ssh-ed25519')];
    server.on('connection', (socket) => {
      self.#sockets.add(socket);
      const transport = createServerTransport({
        stream: socket,
        settings: settingsFor(keys),
        signer: new LocalSigner(keys, 0),
        onBug: (error) => self.bugs.push(error),
      });
      self.#serve(transport, options);
      socket.on('close', () => self.#sockets.delete(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return self;
  }

  #serve(transport: Transport, options: SessionServerOptions): void {
    const host: SessionHost = {
      open: async () => {
        const opened = new LocalSession();
        this.sessions.push(opened);
        return { opened };
      },
    };
    const userauth = new UserauthService(transport, new LocalAuthority(), () => {
      const connection = new Connection(transport, {
        channelTypes: new Map([
          ['session', sessionChannel(host, options.subsystems ?? new Map())],
          [
            'direct-tcpip',
            directTcpip(
              { ...noForwards, directTcpip: async (name) => ({ internal: name }) },
              new Connector(new SocketRoom(1000, Buffer.alloc(65_536))),
              options.targets ?? new Map(),
            ),
          ],
        ]),
      });
      this.connections.push(connection);
      return connection;
    });
    transport.onPayload = (payload) => userauth.receive(payload);
    transport.onDrain = () => userauth.drained();
    transport.onClose = (error) => {
      this.ends.push(error);
      userauth.closed();
    };
    this.transports.push(transport);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    for (const { child } of this.sessions) {
      child?.kill('SIGKILL');
    }
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** A target that joins the channel to a socket of the test. */
export function spliced(socket: () => Socket): InternalTarget {
  return () => ({
    opened: (channel: Channel) => splice(channel, socket()),
    abandoned: () => {},
  });
}
