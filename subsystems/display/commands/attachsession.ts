/** `attachsession`: looking at somebody else's desktop, of which none is offered. Pure. */
import { type Command, prompt } from '../command.ts';
import { sessionError } from '../replies.ts';

export const attachsession: Command = {
  verb: 'attachsession',
  phases: ['ready', 'session'],
  takesParameters: true,
  run(_context, parameters) {
    const id = parameters.get('id') ?? '';
    return prompt(sessionError(`Could not find shadowed session ${id}. Session failed.`));
  },
};
