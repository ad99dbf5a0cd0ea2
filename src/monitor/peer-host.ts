/**
 * UseDNS: what the other end is called. The name counts when it has the address that it was found for;
 * else, and when nobody answers in time, the address stands for it. Each login has a leader of its own
 * to ask, so that names that take long hold up nobody else. Runs in: monitor.
 */
import { isIP } from 'node:net';
import { peerNameIs } from '../../pam/leader-protocol.ts';
import type { LeaderClient } from '../../pam/leader-client.ts';
import type { Log } from '../audit/log.ts';
import type { ServerConfig } from '../policy/config.ts';
import { CallFailure } from '../ssh/wire/peer.ts';

/** For the name and its addresses together, or a third of LoginGraceTime. */
const lookupMs = 10_000;

export async function peerHost(
  leader: Pick<LeaderClient, 'peerName'>,
  address: string,
  config: Pick<ServerConfig, 'useDns' | 'loginGraceTimeMs'>,
  log: Log,
): Promise<string> {
  if (!config.useDns || isIP(address) === 0) {
    return address;
  }
  const { loginGraceTimeMs } = config;
  const shareMs = loginGraceTimeMs === 0 ? lookupMs : Math.ceil(loginGraceTimeMs / 3);
  try {
    const { verdict, name } = await leader.peerName(address, Math.min(lookupMs, shareMs));
    switch (verdict) {
      case peerNameIs.found:
        return name;
      case peerNameIs.address:
        log.info(`Nasty PTR record "${name}" is set up for ${address}, ignoring`);
        break;
      case peerNameIs.notBack:
        log.info(`Address ${address} maps to ${name}, but this does not map back to the address.`);
        break;
      default:
    }
  } catch (error) {
    if (!(error instanceof CallFailure)) {
      throw error;
    }
    log.info(`UseDNS: the name of ${address} is not known in time`);
  }
  return address;
}
