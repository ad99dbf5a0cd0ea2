/**
 * The monitor's request table for one policy: every row that a worker can ask for. Runs in: monitor.
 */
import { closeDescriptor, readMemfd } from '../base/socket.native.ts';
import type { AuthenticationHost } from '../monitor/authentication-host.ts';
import type { Connection } from '../monitor/connection.ts';
import type { AnyRow } from '../monitor/request-table.ts';
import { rowsWithHandshake } from '../monitor/handshake-rows.ts';
import { NxDatabase } from '../monitor/nx-database.ts';
import { NxPasswords } from '../monitor/nx-password.ts';
import { agentForward } from '../monitor/requests/agent-forward.ts';
import { checkPassword } from '../monitor/requests/check-password.ts';
import { tryNone } from '../monitor/requests/try-none.ts';
import { closeForward } from '../monitor/requests/close-forward.ts';
import { directStreamLocal } from '../monitor/requests/direct-streamlocal.ts';
import { directTcpip } from '../monitor/requests/direct-tcpip.ts';
import {
  answerKeyboardInteractive,
  startKeyboardInteractive,
} from '../monitor/requests/keyboard-interactive.ts';
import { CommandPace } from '../monitor/failure-delay.ts';
import { KeyFiles } from '../monitor/key-files.ts';
import { gssapiMic, gssapiToken, startGssapi } from '../monitor/requests/gssapi-with-mic.ts';
import { nxLogin } from '../monitor/requests/nx-login.ts';
import { proveHostKeys } from '../monitor/requests/prove-host-keys.ts';
import { checkKey, queryKey } from '../monitor/requests/publickey.ts';
import { refuseMethod } from '../monitor/requests/refuse-method.ts';
import { sessionEnv } from '../monitor/requests/session-env.ts';
import { sessionOpen } from '../monitor/requests/session-open.ts';
import { sessionPty } from '../monitor/requests/session-pty.ts';
import { sessionSignal } from '../monitor/requests/session-signal.ts';
import { sessionStart } from '../monitor/requests/session-start.ts';
import { signExchange } from '../monitor/requests/sign-exchange.ts';
import { streamLocalForward } from '../monitor/requests/streamlocal-forward.ts';
import { tcpipForward } from '../monitor/requests/tcpip-forward.ts';
import { userauthBegin } from '../monitor/requests/userauth-begin.ts';
import { x11Forward } from '../monitor/requests/x11-forward.ts';
import { announcedHostKeys, offeredHostKeyAlgorithms } from './host-key-offer.ts';
import type { MonitorPolicy } from './monitor-policy.ts';
import type { Places } from './places.ts';

/** What all policies of a daemon share: caches and paces are the machine's, not a policy's. */
export class RequestRows {
  readonly #runtimeDirectory: string;
  /** Those of desktops, whose owner is the same under every policy. */
  readonly #desktopRows: readonly AnyRow[];
  readonly #userKeys = {
    readMemfd: readMemfdOnce,
    keyFiles: new KeyFiles(),
    pace: new CommandPace(),
  };

  readonly #nxPasswords = new NxPasswords();
  readonly #nxFile: string;

  constructor(
    { runtimeDirectory, nxFile }: Pick<Places, 'runtimeDirectory' | 'nxFile'>,
    desktopRows: readonly AnyRow[],
  ) {
    this.#runtimeDirectory = runtimeDirectory;
    this.#nxFile = nxFile;
    this.#desktopRows = desktopRows;
  }

  under(policy: MonitorPolicy, host: AuthenticationHost): readonly AnyRow[] {
    return rowsWithHandshake(this.#plain(policy, host), this.#desktopRows, {
      keyFile: policy.desktopConfig.nxKeyFile,
      keyFiles: this.#userKeys.keyFiles,
    });
  }

  #plain(
    { config, hostKeys, version, desktopConfig, desktopConfigFor }: MonitorPolicy,
    host: AuthenticationHost,
  ): readonly AnyRow[] {
    const userKeys = this.#userKeys;
    const nx = {
      config: desktopConfig,
      configFor: desktopConfigFor,
      passwords: this.#nxPasswords,
      openDatabase: () => NxDatabase.ifThere(this.#nxFile),
    };
    const runtimeDirectory = this.#runtimeDirectory;
    return [
      signExchange({
        hostKeys,
        version,
        algorithms: {
          kex: config.kexAlgorithms.names,
          serverHostKey: offeredHostKeyAlgorithms(hostKeys, config),
        },
      }),
      proveHostKeys({ hostKeys, announced: announcedHostKeys(hostKeys, config) }),
      userauthBegin(host, desktopConfig.nxLegacyAccount),
      nxLogin(host, nx),
      checkPassword(),
      tryNone(),
      startKeyboardInteractive(),
      answerKeyboardInteractive(),
      startGssapi(),
      gssapiToken(),
      gssapiMic(),
      queryKey(userKeys),
      checkKey(userKeys),
      refuseMethod(),
      sessionOpen(),
      sessionPty(),
      sessionEnv(),
      sessionStart({ config, readMemfd: readMemfdOnce }),
      sessionSignal(),
      agentForward(),
      x11Forward(),
      directTcpip(),
      tcpipForward(),
      directStreamLocal(runtimeDirectory),
      streamLocalForward(runtimeDirectory),
      closeForward(),
      ...this.#desktopRows,
    ];
  }
}

/**
 * What is registered on the links of workers: the rows of whichever policy a connection began with.
 * The tables of two policies differ in nothing but what the handlers know.
 */
export function rowsByConnection(
  table: readonly AnyRow[],
  rowsOf: (connection: Connection) => readonly AnyRow[],
): readonly AnyRow[] {
  return table.map((row, index) => ({
    ...row,
    handle: (connection: Connection, values: never) => {
      const own = rowsOf(connection)[index];
      if (own?.schema.name !== row.schema.name) {
        throw new Error(`no row ${row.schema.name} under the policy of the connection`);
      }
      return own.handle(connection, values);
    },
  }));
}

function readMemfdOnce(descriptor: number, maxBytes: number): Buffer {
  try {
    return readMemfd(descriptor, maxBytes);
  } finally {
    closeDescriptor(descriptor);
  }
}
