package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/switch/api"
)

func newJournalCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:     "journal",
		Short:   "Read the journal, entry by entry",
		Example: "  tongma journal dump --data /var/lib/tongma --json > journal.jsonl",
	}, newJournalDumpCmd(a))
}

func newJournalDumpCmd(a *app) *cobra.Command {
	var t target
	var cluster source
	var from, limit uint64
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Write every entry in order, one a line",
		Example: `  tongma journal dump --data /var/lib/tongma --json > journal.jsonl
  tongma journal dump --data /var/lib/tongma --from 1000 --limit 20`,
		Long: `A running switch is asked, as the operator, over its HTTP door; the folder of a stopped one is read, and
the chain of batches checked on the way. With --json each entry is one line: number, kind, time, batch,
hash of its canonical bytes, and what it says. Codes are in it as keyed digests and last four digits.

Exit code 10 if the chain is broken: what stands before the break was written.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			out := bufio.NewWriter(a.out)
			defer out.Flush()
			d := &dump{app: *a, from: max(from, 1), left: limit, bounded: limit > 0}
			d.app.out = out
			if t.data == "" && t.url == "" && a.env("TONGMA_URL") == "" {
				t.data = a.env("TONGMA_DATA")
			}
			cluster.data = t.data
			if cluster.nats != "" || d.offline(&t) {
				return d.read(cmd.Context(), &cluster)
			}
			return d.ask(cmd, &t)
		},
	}
	t.flags(cmd)
	cluster.flags(cmd)
	patience(cmd, time.Hour)
	cmd.Flags().Uint64Var(&from, "from", 1, "first entry")
	cmd.Flags().Uint64Var(&limit, "limit", 0, "how many at most; 0 for all")
	return cmd
}

// dump is one writing out of a journal.
type dump struct {
	app     app
	from    uint64
	left    uint64
	bounded bool
	headed  bool
}

var errEnough = errors.New("enough")

// offline tells whether the journal lies in a folder that no switch runs on. One
// that was killed has left the note of where it was: nobody answers there.
func (d *dump) offline(t *target) bool {
	if t.url != "" || t.data == "" {
		return false
	}
	text, err := os.ReadFile(filepath.Join(t.data, "node.json"))
	var where map[string]string
	if err != nil || json.Unmarshal(text, &where) != nil {
		return true
	}
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(where["http"], "http://"), time.Second)
	if err != nil {
		return true // if a switch has the folder all the same, opening it says so
	}
	_ = conn.Close()
	return false
}

func (d *dump) read(ctx context.Context, from *source) error {
	store, stop, err := d.app.journalFrom(from)
	if err != nil {
		return err
	}
	defer stop()
	chain := journal.NewChain(journal.Position{})
	err = store.Read(ctx, 1, func(seq uint64, message []byte) error {
		b, counts, err := chain.Check(seq, message)
		if err != nil || !counts {
			return err
		}
		return d.batch(&b)
	})
	var broken *journal.ChainError
	switch {
	case errors.Is(err, errEnough):
		return nil
	case errors.As(err, &broken):
		return &exitError{code: exitBooks, err: err, next: []string{"tongma audit --data " + from.data}}
	}
	return err
}

func (d *dump) batch(b *journal.Batch) error {
	for i, data := range b.Entries {
		if b.First+uint64(i) < d.from {
			continue
		}
		e, err := clearing.ParseEntry(data)
		if err != nil {
			return failf(exitBooks, "batch %d: entry %d is not in canonical form", b.Number, b.First+uint64(i))
		}
		line := clearing.NewLine(&e, b.Number, data)
		if err := d.line(&line); err != nil {
			return err
		}
	}
	return nil
}

// line writes one entry, and returns errEnough behind the last that was asked for.
func (d *dump) line(l *clearing.Line) error {
	if d.bounded && d.left == 0 {
		return errEnough
	}
	if d.bounded {
		d.left--
	}
	if !d.app.json && !d.headed {
		d.headed = true
		fmt.Fprintf(d.app.out, "%8s  %-24s  %-9s  %-30s  %-14s  %-14s  %18s  %s\n", "entry", "time", "kind", "payment", "debtor", "creditor", "amount", "")
	}
	d.app.print(l, func(w io.Writer) {
		amount, note := "", l.ReasonName
		if l.AmountMin != nil {
			amount = minor(l.Currency)(*l.AmountMin) + " " + l.Currency
		}
		if l.Window > 0 {
			note = tongma.WindowID(l.Window).String() + " " + note
		}
		fmt.Fprintf(w, "%8d  %-24s  %-9s  %-30s  %-14s  %-14s  %18s  %s\n", l.Entry, l.Time, l.Kind, l.Payment, l.Debtor, l.Creditor, amount, note)
	})
	return nil
}

// ask pages through the journal of a running switch, up to what it had written
// when the last page was asked for.
func (d *dump) ask(cmd *cobra.Command, t *target) error {
	return d.app.with(cmd, t, func(ctx context.Context, c *client) error {
		for {
			size := uint64(1000)
			if d.bounded {
				size = min(size, d.left)
			}
			if size == 0 {
				return nil
			}
			got, err := c.ask(ctx, http.MethodGet, fmt.Sprintf("/v1/journal?from=%d&limit=%d", d.from, size), "", nil)
			if err != nil {
				return err
			}
			var page api.JournalPage
			if err := c.read(got, &page); err != nil {
				return err
			}
			for i := range page.Lines {
				if err := d.line(&page.Lines[i]); err != nil {
					return err
				}
			}
			if len(page.Lines) == 0 || page.Next <= d.from {
				return nil
			}
			d.from = page.Next
		}
	})
}
