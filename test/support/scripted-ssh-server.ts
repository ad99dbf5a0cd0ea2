/**
 * An SSH server on a loopback port whose logins and subsystems a test writes, for what no stock
 * server can be made to say: odd dialogues, hostile texts, streams that break off.
 */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import ssh2 from 'ssh2';
import type { AuthContext, Connection, ServerChannel } from 'ssh2';

export interface ScriptedServerOptions {
  /** Called for each request of each login. */
  readonly onAuthentication: (context: AuthContext, connection: Connection) => void;
  readonly subsystems?: Readonly<Record<string, (channel: ServerChannel) => void>>;
  readonly banner?: string;
  /** PEM; a new one otherwise. */
  readonly hostKey?: string;
}

export class ScriptedSshServer implements AsyncDisposable {
  readonly port: number;
  readonly #server: InstanceType<typeof ssh2.Server>;
  readonly #connections: Set<Connection>;

  private constructor(
    server: InstanceType<typeof ssh2.Server>,
    connections: Set<Connection>,
    port: number,
  ) {
    this.#server = server;
    this.#connections = connections;
    this.port = port;
  }

  static async start(options: ScriptedServerOptions): Promise<ScriptedSshServer> {
    const connections = new Set<Connection>();
    const hostKey = options.hostKey ?? ecdsaHostKey();
    const config = options.banner === undefined ? {} : { banner: options.banner };
    const server = new ssh2.Server({ hostKeys: [hostKey], ...config }, (connection) => {
      connections.add(connection);
      connection.on('close', () => connections.delete(connection));
      // What a client does at its end is the client's business, and seen in its exit code.
      connection.on('error', () => undefined);
      connection.on('authentication', (context) => options.onAuthentication(context, connection));
      connection.on('session', (accept) => {
        accept().on('subsystem', (acceptSubsystem, reject, info) => {
          const serve = options.subsystems?.[info.name];
          if (!serve) {
            reject();
            return;
          }
          const channel = acceptSubsystem();
          channel.on('error', () => undefined);
          serve(channel);
        });
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ScriptedSshServer(server, connections, (server.address() as AddressInfo).port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.end();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }
}

export function ecdsaHostKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return privateKey.export({ type: 'sec1', format: 'pem' }) as string;
}
