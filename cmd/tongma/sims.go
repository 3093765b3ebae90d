package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// simulators are the sandbox's wallets and merchants' banks: one scripted wallet
// per participant that runs a scheme, each on a connection of its own, over the
// socket and with the rights that a real one would have.
type simulators struct {
	node      *node // whose books theirs are compared with; nil for none
	directory *schemes.Directory
	log       *slog.Logger
	dial      func(tongma.ParticipantID) (*nats.Conn, error)
	mu        sync.Mutex // guards rigs
	rigs      map[tongma.ParticipantID]*rig
}

type rig struct {
	wallet   *scripted.Wallet // nil: it runs no scheme
	dealer   *scripted.Dealer // nil: it gives no quotes of its own
	since    int64            // when the dealer began to remember its quotes, Unix milliseconds
	conn     *nats.Conn
	services []*native.Service
}

func startSimulators(ctx context.Context, n *node, seed uint64) (*simulators, error) {
	s, err := simulate(ctx, n.registry.Current(), seed, n.cfg.logger, n.dial)
	if err == nil {
		s.node = n
	}
	return s, err
}

// simulate starts the wallets of a directory, each on a connection that dial makes.
func simulate(ctx context.Context, d *schemes.Directory, seed uint64, log *slog.Logger, dial func(tongma.ParticipantID) (*nats.Conn, error)) (*simulators, error) {
	s := &simulators{directory: d, log: log, dial: dial, rigs: map[tongma.ParticipantID]*rig{}}
	for _, p := range d.Participants() {
		r := &rig{}
		if len(schemesOf(d, p.ID)) > 0 {
			var err error
			if r.wallet, err = scripted.New(scripted.Config{Default: scripted.Approve, Seed: seed}); err != nil {
				return nil, err
			}
		}
		if p.Dealer != nil && p.Dealer.QuotesItself() {
			r.dealer = scripted.NewDealer(scripted.DealerConfig{Rates: sandboxRates, Seed: seed})
			r.since = time.Now().UnixMilli()
		}
		if r.wallet == nil && r.dealer == nil {
			continue
		}
		s.rigs[p.ID] = r
		if err := s.start(ctx, p.ID); err != nil {
			return nil, fmt.Errorf("simulated wallet of %s: %w", p.ID, err)
		}
	}
	return s, nil
}

// sandboxRates is about what the simulated dealer gives.
var sandboxRates = map[scripted.Direction]int64{{From: tongma.HKD, To: tongma.THB}: 4_187_000, {From: tongma.THB, To: tongma.CNY}: 218_950}

// start connects a participant's wallet, serves its schemes, and its quotes.
func (s *simulators) start(ctx context.Context, p tongma.ParticipantID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rigs[p]
	nc, err := s.dial(p)
	if err != nil {
		return err
	}
	r.conn = nc
	for _, scheme := range schemesOf(s.directory, p) {
		svc, err := native.Serve(context.WithoutCancel(ctx), nc, native.ServiceConfig{Scheme: scheme, Version: "1.0.0", Workers: 1024, Queue: 4096,
			Log: s.log, Copies: r.wallet.Copies}, r.wallet)
		if err != nil {
			return err
		}
		r.services = append(r.services, svc)
	}
	if r.dealer != nil {
		svc, err := native.ServeDealer(context.WithoutCancel(ctx), nc, native.ServiceConfig{Scheme: tongma.SchemeID(p), Version: "1.0.0", Log: s.log}, r.dealer)
		if err != nil {
			return err
		}
		r.services = append(r.services, svc)
	}
	return nil
}

// kill cuts a participant's connection without a word, as a crash of its adapter
// would. What the wallet has booked stays booked.
func (s *simulators) kill(p tongma.ParticipantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rigs[p]
	if r == nil || r.conn == nil {
		return
	}
	r.conn.Close()
	r.conn = nil
	for _, svc := range r.services {
		_ = svc.Stop()
	}
	r.services = nil
}

func (s *simulators) stop() {
	for p, r := range s.rigs {
		s.kill(p)
		if r.wallet != nil {
			_ = r.wallet.Close()
		}
	}
}

// disagreements compares the wallets' own books with the switch's, and counts the
// movements that one has and the other has not, or has of another amount; and the
// payments by a rate that their dealer has not quoted.
func (s *simulators) disagreements(ctx context.Context) (bad int, err error) {
	err = s.node.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		for id, r := range s.rigs {
			if r.wallet != nil {
				for _, line := range r.wallet.Ledger().Lines {
					booked, _ := b.Payment(line.Payment)
					if line.Moved != (booked.Phase == clearing.KindPost) || (line.Moved && line.Amount != ownSide(&booked, line.Kind)) {
						bad++
					}
				}
			}
			if r.dealer != nil {
				bad += len(b.Recent(math.MaxInt, func(p *clearing.Payment) bool {
					rate, quoted := r.dealer.Quoted(p.Quote)
					return p.Dealer == id && p.HeldAt >= r.since && p.Op != tongma.OpRefund && (!quoted || rate != p.Rate)
				}))
			}
		}
	})
	return bad, err
}

// ownSide is what a wallet's own books have of a payment: its payers' amounts, or its
// merchants'.
func ownSide(p *clearing.Payment, kind scripted.Kind) tongma.Money {
	if p.Dealer != "" && kind != scripted.Debit {
		return p.Target // what a merchant got, or a payer got back
	}
	return p.Amount
}
