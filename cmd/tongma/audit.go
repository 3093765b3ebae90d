package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

const auditHelp = `The audit reads the journal from its first byte and recomputes everything with arithmetic of its own:
the chain of batches, every payment's course, caps, positions, windows, net sheets and settlement. It
needs the data folder to itself: stop the switch, or audit a copy of the folder. A journal in a cluster is
read up to where it was when the audit began, whoever writes to it.

The report has these members, amounts in minor units:
  ok                whether nothing was found
  entries, batches  what was read; ignored_batches: of writers that had been deposed
  head_hash         SHA-256 of the last batch: compare it with the copies of the checkpoint held elsewhere
  directory         version in force
  payments          how many stand as held, pending, posted, refused, voided, reversing, reversed, tombstones
  open_holds        payments that are not decided
  totals            by currency: postings, posted, refunded, reversed, held, collected, paid
  positions         by participant and currency: position (above zero owes), reserved, cap
  windows           state, entries [opened, closed), items, sheet hash, nets (above zero pays)
  findings          each with the rule that does not hold, the entry or batch, and what is wrong

A journal whose tail was cut off can be told only by what is held outside of it: the folder's own
checkpoint, and hashes of batches held elsewhere, which --known gives as BATCH:HASH, again and again:
keep the head that each audit ends with.

With --dump the lines that a running switch gave are recomputed from the first to the last, by a second
program that has nothing in common with the books or with this audit. It shows positions, windows and
the hashes of their sheets; who wrote the lines, and the chain of batches, are for the journal itself.

Exit code 10 if anything was found, or if the journal cannot be read to its end.`

func newAuditCmd(a *app) *cobra.Command {
	var from source
	var known []string
	var dumped string
	var rules bool
	var shards uint16
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Recompute the books from the journal, and say whether they balance",
		Example: `  tongma audit --data /var/lib/tongma
  tongma audit --data /var/lib/tongma --json | jq .findings
  tongma audit --data /var/lib/tongma --nats nats://n1:4222,nats://n2:4222
  tongma journal dump --data /var/lib/tongma --json | tongma audit --dump -
  tongma audit --rules                              what is proved, rule by rule`,
		Long: auditHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if rules {
				a.showRules()
				return nil
			}
			if cmd.Flags().Changed("dump") {
				return a.auditDump(dumped)
			}
			opts, err := knownHashes(known)
			if err != nil {
				return err
			}
			if shards > 0 {
				return a.auditShards(cmd.Context(), &from, shards)
			}
			store, stop, err := a.journalFrom(&from)
			if err != nil {
				return err
			}
			defer stop()
			if err := a.addCheckpoint(&opts, from.data); err != nil {
				return err
			}
			return a.audit(cmd.Context(), store, opts)
		},
	}
	cmd.Flags().StringVar(&from.data, "data", "", "data folder of a stopped switch; TONGMA_DATA")
	from.flags(cmd)
	cmd.Flags().StringArrayVar(&known, "known", nil, "hash of a batch that is held elsewhere, BATCH:HASH")
	cmd.Flags().Uint16Var(&shards, "shards", 0, "audit the journals of so many shards, each and against each other; with --nats")
	cmd.Flags().StringVar(&dumped, "dump", "", "recompute the books from this file of tongma journal dump --json instead, - for stdin; the switch may run")
	_ = cmd.MarkFlagFilename("dump", "jsonl")
	for _, other := range []string{"data", "nats", "known", "shards"} {
		cmd.MarkFlagsMutuallyExclusive("dump", other)
	}
	cmd.MarkFlagsMutuallyExclusive("known", "shards")
	cmd.Flags().BoolVar(&rules, "rules", false, "list the rules that an audit proves, and read nothing")
	_ = cmd.MarkFlagDirname("data")
	return cmd
}

// addCheckpoint has the audit look for the batch that the folder's checkpoint
// names: the journal reached it once.
func (a *app) addCheckpoint(opts *clearing.AuditOptions, dir string) error {
	if dir = cmp.Or(dir, a.env("TONGMA_DATA")); dir == "" {
		return nil
	}
	p, found, err := journal.ReadCheckpoint(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return &exitError{code: exitBooks, err: fmt.Errorf("the checkpoint cannot be trusted: %w", err)}
	}
	if found && p.Number > 0 {
		if _, ok := opts.Known[p.Number]; !ok {
			opts.Known[p.Number] = p.Hash
		}
	}
	return nil
}

func knownHashes(specs []string) (clearing.AuditOptions, error) {
	opts := clearing.AuditOptions{Known: map[uint64][32]byte{}}
	for _, s := range specs {
		var number uint64
		var text string
		_, err := fmt.Sscanf(s, "%d:%64s", &number, &text)
		hash, e := hex.DecodeString(text)
		if err != nil || e != nil || len(hash) != 32 || number == 0 || s != fmt.Sprintf("%d:%s", number, text) {
			return opts, failf(exitUsage, "--known is BATCH:HASH, a number and 64 hex digits")
		}
		opts.Known[number] = [32]byte(hash)
	}
	return opts, nil
}

// watched shows how far the reading of a store has come.
type watched struct {
	journal.Store
	bar *progress
}

// Read reads as the store does.
func (w watched) Read(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	return w.Store.Read(ctx, from, func(seq uint64, message []byte) error {
		w.bar.at(seq)
		return fn(seq, message)
	})
}

func (a *app) audit(ctx context.Context, store journal.Store, opts clearing.AuditOptions) error {
	last, err := store.Last(ctx)
	if err != nil {
		return fmt.Errorf("the journal cannot be read: %w", err)
	}
	bar := a.progress("audit: batch", last)
	report, err := clearing.Audit(ctx, watched{store, bar}, opts)
	bar.end()
	if errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		return &exitError{code: exitBooks, err: fmt.Errorf("the journal cannot be read to its end: %w", err)}
	}
	a.print(report, func(w io.Writer) { a.drawAudit(w, &report) })
	if !report.OK {
		return &exitError{code: exitBooks}
	}
	return nil
}

func (a *app) showRules() {
	checks := clearing.AuditChecks()
	a.print(struct {
		Rules []clearing.AuditCheck `json:"rules"`
	}{checks}, func(w io.Writer) {
		var rows [][]string
		for _, c := range checks {
			rows = append(rows, []string{c.ID, c.Rule})
		}
		showTable(w, []column{left("rule"), left("what holds")}, rows)
	})
}

func (a *app) drawAudit(w io.Writer, r *clearing.Report) {
	p := a.paint(w)
	if r.OK {
		fmt.Fprintf(w, "%s, %d rules hold\n", p.green("✓ the books balance"), len(clearing.AuditChecks()))
	} else {
		fmt.Fprintf(w, "%s: %s\n", p.red("✗ the books do not balance, or the journal was altered"), counted(len(r.Findings)+r.More, "finding"))
	}
	for _, f := range r.Findings {
		place := fmt.Sprintf("batch %d", f.Batch)
		if f.Entry > 0 {
			place = fmt.Sprintf("entry %d", f.Entry)
		}
		fmt.Fprintf(w, "  %s %-12s %s: %s\n", p.red("✗"), f.Check, place, clean(f.Detail))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "  and %d more\n", r.More)
	}
	fmt.Fprintf(w, "\n%d entries in %d batches, directory %d\n", r.Entries, r.Batches, r.Directory)
	if r.Ignored > 0 {
		fmt.Fprintf(w, "%d batches of deposed writers, which do not count\n", r.Ignored)
	}
	y := r.Payments
	fmt.Fprintf(w, "payments: %d posted, %d refused, %d voided, %d reversed, %d reversing, %d held, %d pending, %d tombstones\n",
		y.Posted, y.Refused, y.Voided, y.Reversed, y.Reversing, y.Held, y.Pending, y.Tombstones)
	a.drawAuditTables(w, r)
	if r.Head != "" {
		fmt.Fprintln(w, p.dim(fmt.Sprintf("\nhead %d:%s", r.Batches, r.Head)))
	}
}

func (a *app) drawAuditTables(w io.Writer, r *clearing.Report) {
	var rows [][]string
	for _, t := range r.Totals {
		if t.Postings == 0 && t.Held == 0 && t.Collected == 0 && t.Paid == 0 {
			continue
		}
		m := minor(t.Currency)
		rows = append(rows, []string{t.Currency, fmt.Sprint(t.Postings), m(t.Posted), m(t.Refunded), m(t.Reversed), m(t.Held), m(t.Collected), m(t.Paid)})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		showTable(w, []column{left("currency"), right("postings"), right("posted"), right("refunds"), right("turned back"), right("held"),
			right("collected"), right("paid out")}, rows)
	}
	rows = nil
	for _, x := range r.Windows {
		rows = append(rows, []string{tongma.WindowID(x.Window).String(), x.State, fmt.Sprint(x.Items), fmt.Sprint(x.Opened), entryOrNone(x.Closed), x.Sheet[:min(16, len(x.Sheet))]})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		showTable(w, []column{left("window"), left("state"), right("items"), right("from entry"), right("to"), left("sheet")}, rows)
	}
}

// entryOrNone is the number of an entry, or nothing for one that is not there yet.
func entryOrNone(number uint64) string {
	if number == 0 {
		return ""
	}
	return strconv.FormatUint(number, 10)
}

// minor returns how amounts of a currency are written.
func minor(code string) func(int64) string {
	c, _ := tongma.CurrencyByCode(code)
	return func(n int64) string { return tongma.Money{Minor: n, Currency: c}.Decimal() }
}
