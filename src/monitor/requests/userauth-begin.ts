/** `userauth-begin`: the first request of a connection fixes user and service (RFC 4252 §5). */
import { authReply } from '../auth-reply.ts';
import { Authentication } from '../authentication.ts';
import type { AuthenticationHost } from '../authentication-host.ts';
import { type Candidate, lookUpCandidate } from '../candidate.ts';
import { authIs, UserauthBegin } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';
import { readShownFile } from '../shown-file.ts';

async function bannerFor({ host: { config, log } }: Candidate): Promise<Buffer> {
  const { banner } = config;
  const text =
    banner === undefined
      ? undefined
      : await readShownFile(banner, (why) => log.debug(`Banner ${banner}: ${why}`));
  return text ?? Buffer.alloc(0);
}

export function userauthBegin(host: Omit<AuthenticationHost, 'log'>): AnyRow {
  return row({
    schema: UserauthBegin,
    phase: ['preauth'],
    once: true,
    decides: true,
    serial: true,
    async handle(connection, { user, service }) {
      if (service !== 'ssh-connection') {
        return {
          values: authReply(authIs.disconnect, { reason: 7, peerText: 'Service not available' }),
        };
      }
      const candidate = await lookUpCandidate(connection, user, host);
      const authentication = new Authentication(candidate, service);
      connection.authentication = authentication;
      if (candidate.host.config.refuseConnection) {
        return { values: authentication.turnAway() };
      }
      if (!authentication.attempts.hasTriesLeft) {
        return { values: authentication.tooManyFailures() };
      }
      return {
        values: authentication.factors.areImpossible
          ? authentication.impossible()
          : authReply(authIs.refused, {
              banner: await bannerFor(candidate),
              canContinue: authentication.methods,
            }),
      };
    },
  });
}
