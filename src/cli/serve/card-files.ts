/**
 * The files of CardCertificates, CardMapping and CardRevocationList, looked at once when a configuration
 * is read: what is wrong would otherwise be seen at the first login that it refuses. Nothing here stops
 * a start, since they are read anew in each attempt. Runs in: monitor, launcher.
 */
import { timeText } from '../../../keys/x509-path.ts';
import type { Log } from '../../audit/log.ts';
import { KeyFiles } from '../../monitor/key-files.ts';
import type { CardConfig } from '../../policy/config.ts';

async function wrongWith(read: Promise<unknown>): Promise<string | undefined> {
  try {
    await read;
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** What Match blocks name besides is seen at a login only. */
export async function tellOfCardFiles(cards: CardConfig, log: Log): Promise<void> {
  const { cardCertificates, cardRevocationList: list, cardMappings } = cards;
  if (cardCertificates === undefined) {
    return;
  }
  const files = new KeyFiles();
  const tell = (keyword: string, file: string, reason: string | undefined): void => {
    if (reason !== undefined) {
      log.error(`${keyword} ${file}: ${reason}; cards are refused until that is right`);
    }
  };
  const authorities = files.cardAuthorities(cardCertificates);
  tell('CardCertificates', cardCertificates, await wrongWith(authorities));
  if (list !== undefined) {
    const lists = files.cardRevocations(list);
    const reason = await wrongWith(lists);
    tell('CardRevocationList', list, reason);
    for (const { issuer, nextUpdateMs } of reason === undefined ? await lists : []) {
      if (nextUpdateMs < Date.now()) {
        tell(
          'CardRevocationList',
          list,
          `that of ${issuer.text} has expired at ${timeText(nextUpdateMs)}`,
        );
      }
    }
  }
  for (const mapping of cardMappings) {
    if (mapping.by === 'subject') {
      tell('CardMapping subject', mapping.file, await wrongWith(files.cardSubjects(mapping.file)));
    }
  }
}
