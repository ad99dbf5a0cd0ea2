/**
 * `restoresession`: one that is there, by id (`--restore` in the first generation) or, where a client
 * knows none, by name. A running one is shared with those who look at it. Pure.
 */
import { displayEngines } from '../engines/index.ts';
import { type Command, prompt } from '../command.ts';
import { openSession } from '../open-session.ts';
import { failureLines, sessionError, unencryptedRefused } from '../replies.ts';

export const restoresession: Command = {
  verb: 'restoresession',
  phases: ['ready', 'session'],
  takesParameters: true,
  async run(context, parameters) {
    const { desktops } = context;
    const protocol = (parameters.get('protocol') ?? context.defaultProtocol).toLowerCase();
    if (parameters.get('encryption') === '0') {
      return prompt(unencryptedRefused);
    }
    if (!Object.hasOwn(displayEngines, protocol)) {
      return prompt(sessionError(`Error: Protocol ${protocol} is not supported.`));
    }
    const which =
      parameters.get('id') ?? parameters.get('restore') ?? parameters.get('session') ?? '';
    const found = await desktops.find(which);
    return found.is === 'failed'
      ? prompt(failureLines(found, desktops.user, which))
      : openSession(context, found.value, 'resuming', { protocol, parameters });
  },
};
