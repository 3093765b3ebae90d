// Command bench measures the books against peers on one machine in one run, and
// each figure against its goal:
//
//   - two-phase transfers a second (reserve and post, each on the disk before it is
//     answered) by so many callers over eight participants: the product, that is
//     the Ledger through an embedded JetStream that syncs always; the same Ledger
//     on a plain file; a plain-file group-commit writer with a small book of its
//     own; the same with the evidence that the product writes; the bare floor, which
//     has no book; and PostgreSQL where it is installed;
//   - the net of ten million posted payments when their window closes;
//   - how many entries a second are replayed, and how long a restart takes.
//
// Each contender is a process of its own, so that none pays for another's memory.
// They take turns, a second each, in several rounds, because the speed of a disk
// changes from minute to minute; the median of the rounds is reported, and the
// lowest and the highest. At the end every contender's books are compared with
// what it wrote to its disk.
package main
