import {
  attempt,
  type Cluster,
  type ClusterNode,
  equalBytes,
  formatClusterNode,
  type Member,
  withNodes,
} from '@tkms/dkg'

/**
 * The address book with entries for members that the opened file does not name, as most of these files have them. Nobody has signed an
 * address: a wrong one costs an answer, never a wrong result. The opened file's own entries stay as they are.
 */
export function learnNodes(
  opened: Cluster,
  cluster: Cluster,
  members: readonly Member[],
  files: readonly Cluster[],
): Cluster {
  const unnamed = new Map(
    members.filter((member) => entryOf(opened, member) === undefined).map((member) => [member.index, member]),
  )
  return [...unnamed.values()].reduce((book, member) => {
    const entry = mostReported(files.flatMap((file) => entryOf(file, member) ?? []))
    if (entry === undefined || sameEntry(entry, entryOf(book, member))) return book
    return attempt(() => withNodes(book, [entry])) ?? book
  }, cluster)
}

const entryOf = (cluster: Cluster, { index, publicKey }: Member): ClusterNode | undefined =>
  cluster.nodes.find((node) => node.index === index && equalBytes(node.publicKey, publicKey))

const nameOf = (entry: ClusterNode): string => JSON.stringify(formatClusterNode(entry))

const sameEntry = (left: ClusterNode, right: ClusterNode | undefined): boolean =>
  right !== undefined && nameOf(left) === nameOf(right)

/** The entry that occurs most often, the first of those. */
function mostReported(entries: readonly ClusterNode[]): ClusterNode | undefined {
  const counts = new Map<string, number>()
  for (const entry of entries) counts.set(nameOf(entry), (counts.get(nameOf(entry)) ?? 0) + 1)
  return entries.toSorted((left, right) => (counts.get(nameOf(right)) ?? 0) - (counts.get(nameOf(left)) ?? 0))[0]
}
