package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	switching "github.com/tongma/tongma/switch"
	"github.com/tongma/tongma/switch/api"
	"github.com/tongma/tongma/switch/shard"
)

// shardNames are the streams and subjects of one shard in the journal's account. Those
// of the first are those of a switch that is alone: it can become the head of several.
type shardNames struct {
	stream, subject  string
	office, papers   string // the writer's sign of life; where it shows what its successor must have
	markStream, mark string
}

func namesOf(number uint16) shardNames {
	s := func(format string) string { return fmt.Sprintf(format, number) }
	return shardNames{s("JOURNAL_%d"), s("tm.journal.%d"), s("tm.office.%d"), s("tm.office.%d.papers"), s("OUTBOX_%d"), s("tm.outbox.%d")}
}

// journalNumber is that of the journal, which begins at zero.
func (n *node) journalNumber() uint16 { return max(n.cfg.shard, 1) - 1 }

func (n *node) names() shardNames { return namesOf(n.journalNumber()) }

// follows tells whether another shard closes and settles windows.
func (n *node) follows() bool { return n.cfg.shard > clearing.Head }

// queueGroup is who shares requests: the shards; else nobody.
func (n *node) queueGroup() string {
	if n.cfg.shards > 1 {
		return "shards"
	}
	return fmt.Sprintf("switch-%d", n.engine.Ledger().Epoch())
}

// makeShard makes this switch one of several, if it is.
func (n *node) makeShard() error {
	if n.cfg.shards < 2 {
		return nil
	}
	nc, err := n.carrier.Journal()
	if err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	n.onClose(func(context.Context) { nc.Close() })
	n.others = shard.New(shard.Options{Self: n.cfg.shard, Count: n.cfg.shards, Conn: nc, Bring: n.bring, Logger: n.cfg.logger})
	return nil
}

// brought is a directory that another shard has this one bring into force.
type brought struct {
	source []byte
	done   chan error
}

// bring hands a directory to whoever may leave the office, and waits until it is in force.
func (n *node) bring(ctx context.Context, source []byte) error {
	b := brought{source, make(chan error, 1)}
	select {
	case n.brings <- b:
	case <-ctx.Done():
		return &tongma.Error{Op: "directory", Reason: tongma.SetupInvalid, Detail: "this switch was busy with something else, and has not begun with it", Err: ctx.Err()}
	}
	select {
	case err := <-b.done:
		return err
	case <-ctx.Done():
		return &tongma.Error{Op: "directory", Reason: tongma.SetupInvalid, Detail: "it is not in force yet; this switch is still at it", Err: ctx.Err()}
	}
}

// offer has the shard that all others go by bring a directory into force first.
func (n *node) offer(ctx context.Context, source []byte) error {
	if n.others == nil {
		return nil
	}
	return n.others.Offer(ctx, source)
}

// startShard answers the other shards. It stops before the engine does.
func (n *node) startShard(ctx context.Context) error {
	if n.others == nil {
		return nil
	}
	others := n.others
	n.onClose(func(context.Context) { others.Stop() })
	return others.Start(ctx, n.engine.Ledger(), n.engine)
}

func (n *node) shardsOfEngine() switching.Shards {
	if n.others == nil {
		return nil
	}
	return n.others
}

func (n *node) shardsOfAPI() api.Shards {
	if n.others == nil {
		return nil
	}
	return n.others
}

// ours says why this switch must not write the journal that it reads: it is of another
// shard, or of more of them than this switch was started for.
func (n *node) ours(b *clearing.Book) error { return switching.Fits(b, n.shardsOfEngine()) }

func (n *node) newID() func() tongma.PaymentID {
	if n.others == nil {
		return nil
	}
	return n.others.NewID
}

// disputeID makes ids of disputes: those of a shard name it.
func (n *node) disputeID() tongma.PaymentID {
	if n.others == nil {
		return tongma.PaymentID(uuid.Must(uuid.NewV7()))
	}
	return n.others.NewID()
}

// officeOfAPI is the office, which of several shards knows the disputes of all.
func (n *node) officeOfAPI() api.Office {
	if n.others == nil {
		return n.desk
	}
	return shard.NewDesk(n.others, n.desk)
}

// committed shows every batch to the feed, and to the other shards what concerns them.
func (n *node) committed(feed *api.Feed) func(uint64, []clearing.Entry) {
	others := n.others
	if others == nil {
		return feed.Committed
	}
	return func(batch uint64, entries []clearing.Entry) {
		feed.Committed(batch, entries)
		others.OnCommit(entries)
	}
}

const (
	shardsWithin = 50 * time.Second // that a window waits for other shards before it is looked at again
	shardsLook   = 200 * time.Millisecond
)

// awaitShards waits until every shard has handed over what its window comes to, and
// says which one is waited for.
func (n *node) awaitShards(ctx context.Context, id tongma.WindowID) bool {
	end := time.Now().Add(shardsWithin)
	for round := 0; ; round++ {
		var sheet clearing.Sheet
		if err := n.engine.Ledger().Read(ctx, func(b *clearing.Book) { sheet, _ = b.Sheet(id) }); err != nil {
			return false
		}
		if len(sheet.Awaited) == 0 {
			return true
		}
		if round%25 == 24 {
			n.cfg.logger.Warn("window waits for other shards: it is settled when they are there again", "window", id.String(), "shards", sheet.Awaited)
		}
		if time.Now().After(end) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(shardsLook):
		}
	}
}

func newMoveCmd(a *app) *cobra.Command {
	var ch change
	var to uint16
	cmd := &cobra.Command{
		Use:     "move PARTICIPANT",
		Short:   "Move a participant to another shard",
		Example: "  tongma participant move tongbao --to 2 --dry-run\n  tongma participant move tongbao --to 2",
		Long: `What it owes, its caps and its prefunding go with it; payments that are under way stay in the old shard until they end.
Payments that come in meanwhile wait until it has arrived. Nothing is lost wherever it is cut off: the shard that let it go
finishes the move by itself, and the same command says how far it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := participantPath(args[0], "move")
			if err != nil {
				return err
			}
			return ch.run(cmd, a, path, api.MoveBody{To: to}, func(c *client, got reply) error {
				var r shard.MoveReport
				if err := c.read(got, &r); err != nil {
					return err
				}
				a.print(raw(got.body), func(w io.Writer) { drawMove(w, &r) })
				switch {
				case r.Refused != "":
					return failf(exitConflict, "%s stays in shard %d: %s", r.Participant, r.From, r.Refused)
				case !r.Done && !r.Dry:
					return failf(exitInconclusive, "%s is under way to shard %d; nothing is lost, and its payments wait", r.Participant, r.To).then(fmt.Sprintf("tongma participant move %s --to %d", r.Participant, r.To))
				}
				return nil
			})
		},
	}
	ch.flags(cmd, false)
	a.completeParticipants(cmd, &ch.t)
	cmd.Flags().Uint16Var(&to, "to", 0, "number of the shard, from 1")
	require(cmd, "to")
	return cmd
}

func drawMove(w io.Writer, r *shard.MoveReport) {
	switch {
	case r.Done:
		fmt.Fprintf(w, "%s is at home in shard %d\n", r.Participant, r.To)
	case r.Refused != "":
		fmt.Fprintf(w, "%s is not moved: %s\n", r.Participant, r.Refused)
	case r.Dry:
		fmt.Fprintf(w, "dry run: %s would go from shard %d to shard %d\n", r.Participant, r.From, r.To)
	}
	var rows [][]string
	for _, g := range r.Goes {
		c, _ := tongma.CurrencyByCode(g.Currency)
		dec := func(minor int64) string { return tongma.Money{Minor: minor, Currency: c}.Decimal() }
		rows = append(rows, []string{g.Currency, dec(g.Position), dec(g.Held), dec(g.Cap), dec(g.Prefund)})
	}
	if len(rows) > 0 {
		showTable(w, []column{left("currency"), left("owes"), left("held, stays until it ends"), left("cap"), left("prefunded")}, rows)
	}
}

// auditShards audits the journals of all shards in a cluster, each and against each other.
func (a *app) auditShards(ctx context.Context, from *source, shards uint16) error {
	if shards < 2 || shards > clearing.MaxShards || from.nats == "" {
		return failf(exitUsage, "--shards N goes with --nats URL, and is 2 to %d", clearing.MaxShards)
	}
	var stores []journal.Store
	for number := range shards {
		one := *from
		one.number = number
		store, stop, err := a.journalFrom(&one)
		if err != nil {
			return err
		}
		defer stop()
		stores = append(stores, store)
	}
	r, err := clearing.AuditShards(ctx, stores, clearing.AuditOptions{})
	if err != nil {
		return &exitError{code: exitBooks, err: err}
	}
	a.print(r, func(w io.Writer) { drawShards(w, &r) })
	if !r.OK {
		return failf(exitBooks, "the books of the shards do not agree")
	}
	return nil
}

func drawShards(w io.Writer, r *clearing.ShardsReport) {
	var rows [][]string
	for i, s := range r.Shards {
		rows = append(rows, []string{fmt.Sprint(i + 1), fmt.Sprint(s.Entries), fmt.Sprint(s.Payments.Posted), fmt.Sprint(s.OpenHolds), fmt.Sprint(len(s.Findings) + s.More)})
		for _, f := range s.Findings {
			fmt.Fprintf(w, "shard %d: %s: entry %d: %s\n", i+1, f.Check, f.Entry, f.Detail)
		}
	}
	showTable(w, []column{left("shard"), left("entries"), left("posted"), left("open holds"), left("findings")}, rows)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "across shards: %s: %s\n", f.Check, f.Detail)
	}
	for _, c := range r.UnderWay {
		fmt.Fprintf(w, "on the way from shard %d to %d: %d minor units of %s for %s\n", c.From, c.To, c.Amount, c.Currency, c.Participant)
	}
	if r.OK {
		fmt.Fprintln(w, "every journal balances, and all of them together")
	}
}

// shardList names shards as people do.
func shardList(shards []uint16) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(shards), " ", ", "), "[]")
}

// findJournalOf opens a shard's journal, and makes none.
func findJournalOf(ctx context.Context, nc *nats.Conn, number uint16) (journal.Store, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	names := namesOf(number)
	stream, err := js.Stream(ctx, names.stream)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.ToLower(names.stream), err)
	}
	return journal.OpenJetStream(ctx, nc, journal.JetStreamConfig{Stream: names.stream, Subject: names.subject, Replicas: stream.CachedInfo().Config.Replicas})
}
