package switching

import (
	"context"
	"errors"
	"fmt"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

// Shards is the rest of a switch that is one of several: see package switch/shard. Each
// of the first five says whether a request is to be carried out here; if it is not, it
// has it carried out where it is, and returns the answer or the error of that shard.
// An error without elsewhere means that nothing was decided.
type Shards interface {
	// Route goes by the request alone: who pays in a transfer, which payment the others
	// are about.
	Route(ctx context.Context, r tongma.Request) (a tongma.Answer, elsewhere bool, err error)
	// Place goes by who pays, which the engine has found out.
	Place(ctx context.Context, r tongma.Request, debtor tongma.ParticipantID) (a tongma.Answer, elsewhere bool, err error)
	// Resolve has the wallet's home say what its payer would pay in another currency: there
	// the transfer that names the quote is carried out.
	Resolve(ctx context.Context, r tongma.Request) (out tongma.Resolution, elsewhere bool, err error)
	// Claim makes sure that no other shard holds or refuses anything under the key of an
	// entry that is about to be submitted.
	Claim(ctx context.Context, r tongma.Request, first *clearing.Entry) (a tongma.Answer, elsewhere bool, err error)
	// Belongs has the books' last word: the payment is that shard's.
	Belongs(ctx context.Context, r tongma.Request, shard uint16) (tongma.Answer, error)
	// Spent tells whether the code of a hold was spent in a shard in which its payer was at
	// home before. An error means that nobody could say.
	Spent(ctx context.Context, hold *clearing.Entry) (bool, error)
	// Room tries to get the room that a hold lacks here from where it lies, within a
	// bounded time. Whether there is enough, the books say.
	Room(ctx context.Context, hold *clearing.Entry)
	// Number returns which shard this is, of how many.
	Number() (self, count uint16)
	// Spread returns over how many shards ids and keys are spread, for a journal that begins
	// now. Only the first shard knows, which is waited for; of itself, it says zero: over all.
	Spread(ctx context.Context) (uint16, error)
}

// Way is how a request has come to this shard.
type Way struct {
	Hops    int  // other shards that it was at
	Sought  bool // the payment that it is about is here, as far as the sender knows
	Claimed bool // its key is this shard's: it is carried out here, or nowhere
}

type wayKey struct{}

// asked is a request as it came in, and how.
type asked struct {
	request tongma.Request
	way     Way
}

// WithWay marks a request that another shard has sent.
func WithWay(ctx context.Context, w Way) context.Context {
	return context.WithValue(ctx, wayKey{}, &asked{way: w})
}

// WayOf returns how the request of ctx has come to this shard.
func WayOf(ctx context.Context) Way {
	if a, ok := ctx.Value(wayKey{}).(*asked); ok {
		return a.way
	}
	return Way{}
}

// route keeps the request as it came in, and sees whether it is for this shard.
func (e *Engine) route(ctx context.Context, r tongma.Request) (context.Context, tongma.Answer, bool, error) {
	ctx = context.WithValue(ctx, wayKey{}, &asked{request: r, way: WayOf(ctx)})
	a, elsewhere, err := e.opts.Shards.Route(ctx, r)
	return ctx, a, elsewhere || err != nil, err
}

// original is the request of ctx as it came in.
func original(ctx context.Context, r *tongma.Request) tongma.Request {
	if a, ok := ctx.Value(wayKey{}).(*asked); ok && a.request.From != "" {
		return a.request
	}
	return *r
}

// place sees whether whoever pays is at home here.
func (e *Engine) place(ctx context.Context, r *tongma.Request, debtor tongma.ParticipantID) (tongma.Answer, bool, error) {
	if e.opts.Shards == nil {
		return tongma.Answer{}, false, nil
	}
	a, elsewhere, err := e.opts.Shards.Place(ctx, original(ctx, r), debtor)
	return a, elsewhere || err != nil, err
}

// claim sees that the key of a first entry is this shard's.
func (e *Engine) claim(ctx context.Context, r *tongma.Request, first *clearing.Entry) (tongma.Answer, bool, error) {
	if e.opts.Shards == nil {
		return tongma.Answer{}, false, nil
	}
	a, elsewhere, err := e.opts.Shards.Claim(ctx, original(ctx, r), first)
	return a, elsewhere || err != nil, err
}

// spentBefore tells whether a payer's code was spent where the payer was at home before.
func (e *Engine) spentBefore(ctx context.Context, hold *clearing.Entry) (bool, error) {
	if e.opts.Shards == nil || hold.Code == (clearing.Digest{}) {
		return false, nil
	}
	return e.opts.Shards.Spent(ctx, hold)
}

// ErrNotOurs is in the error of a switch that was started for another journal than the
// one that it found.
var ErrNotOurs = errors.New("this switch must not write it")

// Fits says why a switch must not write a journal: that is another shard's, or knows of
// more shards than the switch does, which cannot leave. There may be fewer in it, since
// others join. shards is nil of a switch that is to be alone. Who asks before it takes over
// leaves the writer that there is undisturbed.
func Fits(b *clearing.Book, shards Shards) error {
	var self, count uint16
	if shards != nil {
		self, count = shards.Number()
	}
	was, of := b.Shard()
	if of == 0 || (was == self && count >= of) {
		return nil
	}
	is := "a switch that is alone"
	if count != 0 {
		is = fmt.Sprintf("shard %d of %d", self, count)
	}
	return &tongma.Error{Op: "switch.Open", Reason: tongma.SetupInvalid, Err: ErrNotOurs,
		Detail: fmt.Sprintf("the journal is of shard %d of %d, this is to be %s: shards can join, and cannot leave. No money moved and nothing was written: a writer that there is goes on; start this one as shard %d/%d", was, of, is, was, of)}
}

// openFit becomes the writer of a shard's journal behind reading it, if that is ours.
func openFit(ctx context.Context, store journal.Store, shards Shards, opts clearing.LedgerOptions) (*clearing.Ledger, error) {
	s, err := clearing.OpenStandby(ctx, store, opts)
	if err != nil {
		return nil, err
	}
	var ledger *clearing.Ledger
	if err = s.Require(func(b *clearing.Book) error { return Fits(b, shards) }); err == nil {
		ledger, err = s.TakeOver(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return ledger, nil
}

// declare writes down which shard this journal is of, before any rule of the directory:
// caps stand where a participant is at home. There may be more shards than it says, which
// have joined since; whoever became the writer without asking Fits hears of it here.
func (e *Engine) declare(ctx context.Context) error {
	var was, of uint16
	var unfit error
	err := e.ledger.Read(ctx, func(b *clearing.Book) {
		was, of = b.Shard()
		unfit = Fits(b, e.opts.Shards)
	})
	if err = errors.Join(err, unfit); err != nil || e.opts.Shards == nil {
		return err
	}
	self, count := e.opts.Shards.Number()
	if was == self && of == count {
		return nil
	}
	spread := uint16(0)
	if of == 0 {
		if spread, err = e.opts.Shards.Spread(ctx); err != nil {
			return err
		}
	}
	res, err := e.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindHome, Shard: self, Shards: count, Upto: uint64(spread)})
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "switch.Open", Reason: tongma.SetupInvalid, Detail: fmt.Sprintf("the journal takes no shard %d of %d over %d: %s", self, count, spread, res.Reason)}
	}
	return err
}
