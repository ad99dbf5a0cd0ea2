/** `suspend`: ends the viewers of a desktop, which goes on. Pure. */
import { type Command, prompt } from '../command.ts';
import { failureLines } from '../replies.ts';

export const suspend: Command = {
  verb: 'suspend',
  phases: ['ready', 'session'],
  takesParameters: true,
  async run({ desktops, version }, parameters) {
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
    const suspended = await desktops.suspend(id);
    return suspended.is === 'failed'
      ? prompt(failureLines(suspended, desktops.user, which))
      : prompt([
          `NX> 1000 NXNODE - Version ${version}`,
          `NX> 716 Suspending session ${id} on user request.`,
          'NX> 1001 Bye.',
        ]);
  },
};
