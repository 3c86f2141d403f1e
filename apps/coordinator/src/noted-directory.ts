import type { CheckpointDirectory } from '@ultramem/checkpoint';

/** The same directory, and the names of the files that were found in it so far: with an opened model, exactly its files. */
export function notedDirectory(directory: CheckpointDirectory): {
  directory: CheckpointDirectory;
  found: ReadonlySet<string>;
} {
  const found = new Set<string>();
  const noting =
    <T>(look: (file: string) => Promise<T | null>) =>
    async (file: string): Promise<T | null> => {
      const content = await look(file);
      if (content !== null) found.add(file);
      return content;
    };
  return {
    directory: {
      name: directory.name,
      readText: noting(directory.readText),
      open: noting(directory.open),
    },
    found,
  };
}
