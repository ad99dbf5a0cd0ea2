/** `SET SHELL_MODE SHELL`, `SET AUTH_MODE PASSWORD`: there is no other mode of either. Pure. */
import { type Command, type CommandContext, prompt } from '../command.ts';

const shownCharacters = 64;

interface Mode {
  readonly only: string;
  readonly called: string;
  taken(context: CommandContext): void;
}

const modes: ReadonlyMap<string, Mode> = new Map<string, Mode>([
  ['shell_mode', { only: 'shell', called: 'shell mode', taken: () => {} }],
  [
    'auth_mode',
    { only: 'password', called: 'auth mode', taken: (context) => context.setPasswordMode() },
  ],
]);

export const set: Command = {
  verb: 'set',
  phases: ['login'],
  takesParameters: false,
  run(context) {
    const [variable = '', value = ''] = context.rest.trim().split(/\s+/);
    const shown = (word: string): string => word.slice(0, shownCharacters);
    const mode = modes.get(variable.toLowerCase());
    if (variable === '') {
      return prompt(["NX> 500 ERROR: missing parameter 'variable'"]);
    }
    if (mode === undefined) {
      return prompt([`NX> 500 ERROR: unknown variable '${shown(variable)}'`]);
    }
    if (value === '') {
      return prompt(["NX> 500 ERROR: missing parameter 'value'"]);
    }
    if (value.toLowerCase() !== mode.only) {
      return prompt([`NX> 500 ERROR: unknown ${mode.called} '${shown(value)}'`]);
    }
    mode.taken(context);
    return { ...prompt([]), echo: `Set ${variable.toLowerCase()}: ${mode.only}` };
  },
};
