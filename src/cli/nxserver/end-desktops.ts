/** Several desktops at once, each told as clients' administrators know it. Runs in: launcher. */
import { dialogueVersion } from '../../../subsystems/display/dialogue.ts';
import { askDesktops, chosen } from './ask.ts';
import { done, type NxAnswer, refused } from './order.ts';

export async function endDesktops(
  action: 'suspend' | 'terminate',
  word: string,
  which: string,
): Promise<NxAnswer> {
  const all = await askDesktops('list');
  if (typeof all === 'string') {
    return refused(`ERROR: ${all}`);
  }
  const wanted = chosen(all, which);
  if (wanted.length === 0) {
    return refused(`ERROR: no session is chosen by ${which} (a user, :display, id, or *)`);
  }
  const lines: string[] = [];
  for (const { id } of wanted) {
    const outcome = await askDesktops(action, id);
    if (typeof outcome === 'string') {
      return refused(`ERROR: ${id}: ${outcome}`);
    }
    lines.push(
      `NX> 1000 NXNODE - Version ${dialogueVersion}`,
      `NX> 716 ${word} session ${id} on user request.`,
      'NX> 1001 Bye.',
    );
  }
  return done(...lines);
}
