/** The commands of the dialogue; what is not in the table is refused. Pure. */
import { type Command, phases } from '../command.ts';
import { addmount } from './addmount.ts';
import { addprinter } from './addprinter.ts';
import { attachsession } from './attachsession.ts';
import { bye } from './bye.ts';
import { exit } from './exit.ts';
import { hello } from './hello.ts';
import { listsession } from './listsession.ts';
import { login } from './login.ts';
import { quit } from './quit.ts';
import { restoresession } from './restoresession.ts';
import { set } from './set.ts';
import { startsession } from './startsession.ts';
import { suspend } from './suspend.ts';
import { terminate } from './terminate.ts';

export const displayCommands: readonly Command[] = [
  hello,
  set,
  login,
  listsession,
  startsession,
  restoresession,
  attachsession,
  suspend,
  terminate,
  addmount,
  addprinter,
  bye,
  quit,
  exit,
];

/** The table as Markdown, for `docs/reference/`. */
export function drawDisplayCommands(): string {
  const rows = displayCommands.map(({ verb, phases: allowed, takesParameters }) => {
    const cells = phases.map((phase) => (allowed.includes(phase) ? 'yes' : '554'));
    return `| ${[verb, ...cells, takesParameters ? 'asked for' : 'none'].join(' | ')} |`;
  });
  const titles = ['command', ...phases, 'parameters'];
  return [`| ${titles.join(' | ')} |`, `|${'---|'.repeat(titles.length)}`, ...rows, ''].join('\n');
}
