/**
 * What the command line says of the way to a host, and what of it goes for the hosts in between
 * (ProxyJump of ssh_config(5), -J). Runs in: user.
 */
import type { CardProcess } from '../../../keys/pkcs11/card-start.ts';
import { jumpHosts } from './target.ts';

export interface SshArguments {
  readonly target: string;
  readonly identityFiles: readonly string[];
  readonly port: string | undefined;
  readonly user: string | undefined;
  readonly options: readonly string[];
  readonly configFile: string | undefined;
  readonly isBatch: boolean;
  /** For a card, begun while the rest of the program was loaded. */
  readonly cardProcess?: CardProcess | undefined;
  /** A module of --pkcs11; empty: those that are known; undefined: not given. */
  readonly pkcs11?: string | undefined;
  /** Options of ssh_config(5) that options of the command line stand for; they go before `-o`. */
  readonly shorthands?: readonly (readonly [name: string, value: string])[];
  /** `-J` */
  readonly jump?: string | undefined;
}

/** As in ssh a host in between has its own settings: of what was given it takes the file alone. */
export function jumpOf(written: string | null, given: SshArguments): SshArguments | null {
  const hosts = written === null ? [] : jumpHosts(written);
  const target = hosts.at(-1);
  if (target === undefined) return null;
  const jump = hosts.length === 1 ? undefined : hosts.slice(0, -1).join(',');
  const { configFile, isBatch } = given;
  const none = { identityFiles: [], port: undefined, user: undefined, options: [] };
  return { ...none, target, jump, configFile, isBatch };
}
