package office

import (
	"context"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// Ledger is what the office needs of a *clearing.Ledger: the same promises.
type Ledger interface {
	Submit(ctx context.Context, e clearing.Entry) (clearing.Result, error)
	Read(ctx context.Context, see func(*clearing.Book)) error
}

// Options are the edges of an Office.
type Options struct {
	Ledger    Ledger                    // required
	Journal   journal.Store             // where the Ledger writes: for what only the entries tell; required
	Shard     uint16                    // of the journal
	Directory func() *schemes.Directory // the version in force; required
	Past      Past                      // the versions before it: accounts that it has dropped are reported on for a while; may be nil
	Now       func() time.Time          // required
	NewID     func() tongma.PaymentID   // ids of disputes; required
	Data      string                    // folder of the register of breaks; empty: there is none
}

// Past are the directory versions that there were; *schemes.Registry is one.
type Past interface {
	At(version uint64) (*schemes.Directory, bool)
}

// Office is the operations. Any goroutine may call any of them.
type Office struct {
	Options
	recon reconciler
	past  past
}

// New returns an Office. It fails with SetupInvalid if an edge is missing, or if
// the register of breaks is there and cannot be read.
func New(opts Options) (*Office, error) {
	if opts.Ledger == nil || opts.Journal == nil || opts.Directory == nil || opts.Now == nil || opts.NewID == nil {
		return nil, &tongma.Error{Op: "office", Reason: tongma.SetupInvalid, Detail: "an edge is missing"}
	}
	o := &Office{Options: opts}
	o.past.start(opts.Shard)
	if err := o.recon.open(opts.Data); err != nil {
		return nil, err
	}
	return o, nil
}

// Done is what an operation that was not refused has done.
type Done struct {
	Entry  uint64    `json:"entry,omitempty"`   // its number in the journal; zero if nothing was written
	At     time.Time `json:"at,omitzero"`       // of the entry
	Exists bool      `json:"exists,omitempty"`  // it stood already, the same
	DryRun bool      `json:"dry_run,omitempty"` // it would have been done, and was not
	Money  string    `json:"money"`             // what happened to the money, in a sentence
}

// act submits an entry, or with dry only asks what would be said to it. The error
// has the Book's reason, and says what happened to the money.
func (o *Office) act(ctx context.Context, op string, e clearing.Entry, dry bool, money string) (clearing.Entry, Done, error) {
	var res clearing.Result
	var err error
	if dry {
		err = o.Ledger.Read(ctx, func(b *clearing.Book) {
			e.Directory = b.Directory()
			res.Verdict = b.Propose(&e, o.Now().UnixMilli())
			res.Entry = &e
		})
	} else {
		res, err = o.Ledger.Submit(ctx, e)
	}
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "clearing." + e.Kind.String(), Reason: res.Reason}
	}
	if err != nil {
		return clearing.Entry{}, Done{}, failed(op, err)
	}
	done := Done{Exists: res.Exists, DryRun: dry, Money: money}
	if res.Write && !dry {
		done.Entry, done.At = res.Entry.Number, time.UnixMilli(res.Entry.Time).UTC()
	}
	switch {
	case dry && res.Exists:
		done.Money = "nothing would be written, it stands already: " + money
	case dry:
		done.Money = "nothing was written; it would be: " + money
	case res.Exists:
		done.Money = "nothing was written now, it stood already: " + money
	}
	return *res.Entry, done, nil
}

// Sentences on what happened to the money.
const (
	noMoney      = "no money moves by this"
	nothingDone  = "nothing was written and no money moved"
	notKnownYet  = "whether it was written is not known yet: repeat it unchanged, it is done once"
	writtenMoved = "it was written and the money moved"
)

// failed gives an error the operation's name and a clause on the money. Reason and
// cause stay.
func failed(op string, err error) error {
	reason := tongma.ReasonOf(err)
	words := map[tongma.MoneyMoved]string{tongma.NotMoved: nothingDone, tongma.MayHaveMoved: notKnownYet, tongma.Moved: writtenMoved}[reason.Info().Money]
	out := &tongma.Error{Op: op, Reason: reason, Detail: words, Err: err}
	if e, ok := err.(*tongma.Error); ok && e.Err == nil { // it says no more than this
		out.Err, out.Field, out.Offset = nil, e.Field, e.Offset
		if e.Detail != "" {
			out.Detail = e.Detail + "; " + words
		}
	}
	return out
}

// refuse is a refusal before anything was asked of the books.
func refuse(op string, reason tongma.Reason, field, detail string) error {
	return failed(op, &tongma.Error{Op: op, Reason: reason, Field: field, Detail: detail})
}

// Bounds of what people write, in bytes: those of the journal.
const (
	maxPerson = 32
	maxNote   = 64
)

// line tells whether s is one line of printable text with at least one letter
// that is seen, not longer than limit.
func line(s string, limit int) bool {
	seen := false
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == '\uFFFD' || c == '\u2028' || c == '\u2029' {
			return false
		}
		seen = seen || c != ' '
	}
	return seen && len(s) <= limit
}

// known finds a participant in the directory in force.
func (o *Office) known(op string, id tongma.ParticipantID) (*schemes.Participant, error) {
	p, ok := o.Directory().Participant(id)
	if !ok {
		return nil, refuse(op, tongma.ParticipantUnknown, "/participant", "")
	}
	return p, nil
}

// entries shows every entry of the journal that counts, in order, up to the last
// at the time of the call. It reads beside the writer, and checks the chain. An
// entry is valid only during see.
func (o *Office) entries(ctx context.Context, see func(*clearing.Entry) error) error {
	return o.entriesBehind(ctx, journal.NewChain(journal.Position{Shard: o.Shard}), see)
}

// entriesBehind shows those behind what the chain has checked.
func (o *Office) entriesBehind(ctx context.Context, chain *journal.Chain, see func(*clearing.Entry) error) error {
	return o.Journal.Read(ctx, chain.Position().Sequence+1, func(seq uint64, message []byte) error {
		b, counts, err := chain.Check(seq, message)
		if err != nil || !counts {
			return err
		}
		for _, data := range b.Entries {
			e, err := clearing.ParseEntry(data)
			if err == nil {
				err = see(&e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
