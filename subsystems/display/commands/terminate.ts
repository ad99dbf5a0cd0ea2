/** `terminate`: ends a desktop. Some clients wait for exactly this line 900. Pure. */
import { type Command, prompt } from '../command.ts';
import { failureLines } from '../replies.ts';

export const terminate: Command = {
  verb: 'terminate',
  phases: ['ready', 'session'],
  takesParameters: true,
  async run({ desktops }, parameters) {
    const which =
      parameters.get('sessionid') ??
      parameters.get('session_id') ??
      parameters.get('id') ??
      parameters.get('session') ??
      '';
    const found = await desktops.find(which);
    if (found.is === 'failed') {
      return prompt(failureLines(found, desktops.user, which));
    }
    const { id } = found.value;
    const ended = await desktops.terminate(id);
    return ended.is === 'failed'
      ? prompt(failureLines(ended, desktops.user, which))
      : prompt([`NX> 900 Session id: ${id} terminated.`]);
  },
};
