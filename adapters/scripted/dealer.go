package scripted

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tongma/tongma"
)

// Direction is what a dealer takes, and what it gives for it.
type Direction struct{ From, To tongma.Currency }

// DealerConfig is how a simulated dealer is set up.
type DealerConfig struct {
	Rates    map[Direction]int64 // millionths of a unit of To for one of From: about which its rates wander
	Lifetime time.Duration       // of a quote; zero: 20 s
	Seed     uint64              // of how rates wander: by a fifth of a percent at most, the same for the same amount
	Clock    Clock               // nil: the real one
}

// Dealer quotes rates that wander, for directions that it knows, and remembers what it
// has quoted. Its method may be called at once from many goroutines.
type Dealer struct {
	cfg   DealerConfig
	clock Clock

	mu     sync.Mutex        // guards what follows
	quoted map[string]string // rates, by quote
}

const million = 1_000_000

// NewDealer returns a dealer that has quoted nothing yet.
func NewDealer(cfg DealerConfig) *Dealer {
	d := &Dealer{cfg: cfg, clock: cfg.Clock, quoted: map[string]string{}}
	if d.clock == nil {
		d.clock = realClock{}
	}
	if d.cfg.Lifetime == 0 {
		d.cfg.Lifetime = 20 * time.Second
	}
	return d
}

// Quote says at which rate it would take r.PayIn and give r.Amount, or take
// r.Exchange.Source. It declines directions that it does not know.
func (d *Dealer) Quote(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	to, fixed := r.Amount.Currency, "target"
	if r.Exchange.Source != (tongma.Money{}) {
		to, fixed = r.Exchange.Target.Currency, "source"
	}
	about, ok := d.cfg.Rates[Direction{r.PayIn, to}]
	if !ok {
		return tongma.Answer{Payment: r.Payment, Outcome: tongma.Declined, Status: tongma.Refused, Reason: tongma.NoQuote}, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	random := rand.New(rand.NewPCG(d.cfg.Seed, uint64(r.Amount.Minor)<<16|uint64(r.PayIn)))
	rate := about + about*(random.Int64N(4001)-2000)/million
	x := tongma.Exchange{Quote: fmt.Sprintf("%s-%d", r.Payment.String()[4:], len(d.quoted)), Expiry: d.clock.Now().Add(d.cfg.Lifetime).UnixMilli(),
		Rate: fmt.Sprintf("%s/%s %d.%06d %s", r.PayIn.Code(), to.Code(), rate/million, rate%million, fixed)}
	d.quoted[x.Quote] = x.Rate
	return tongma.Answer{Payment: r.Payment, Outcome: tongma.Approved, Status: tongma.Paid, Amount: r.Amount, Exchange: x}, nil
}

// Quoted returns the rate of a quote that the dealer has given.
func (d *Dealer) Quoted(id string) (rate string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rate, ok = d.quoted[id]
	return rate, ok
}
