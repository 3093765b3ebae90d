package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/clearing"
)

// simulators are the sandbox's wallets and merchants' banks: one scripted wallet
// per participant that runs a scheme, each on a connection of its own, over the
// socket and with the rights that a real one would have.
type simulators struct {
	node *node
	seed uint64
	mu   sync.Mutex // guards rigs
	rigs map[tongma.ParticipantID]*rig
}

type rig struct {
	wallet   *scripted.Wallet
	conn     *nats.Conn
	services []*native.Service
}

func startSimulators(ctx context.Context, n *node, seed uint64) (*simulators, error) {
	s := &simulators{node: n, seed: seed, rigs: map[tongma.ParticipantID]*rig{}}
	for _, p := range n.registry.Current().Participants() {
		if len(schemesOf(n.registry.Current(), p.ID)) == 0 {
			continue
		}
		wallet, err := scripted.New(scripted.Config{Default: scripted.Approve, Seed: seed})
		if err != nil {
			return nil, err
		}
		s.rigs[p.ID] = &rig{wallet: wallet}
		if err := s.start(ctx, p.ID); err != nil {
			return nil, fmt.Errorf("simulated wallet of %s: %w", p.ID, err)
		}
	}
	return s, nil
}

// start connects a participant's wallet and serves its schemes.
func (s *simulators) start(ctx context.Context, p tongma.ParticipantID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rigs[p]
	nc, err := s.node.dial(p)
	if err != nil {
		return err
	}
	r.conn = nc
	for _, scheme := range schemesOf(s.node.registry.Current(), p) {
		svc, err := native.Serve(context.WithoutCancel(ctx), nc, native.ServiceConfig{Scheme: scheme, Version: "1.0.0", Workers: 1024, Queue: 4096,
			Log: s.node.cfg.logger, Copies: r.wallet.Copies}, r.wallet)
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
		_ = r.wallet.Close()
	}
}

// disagreements compares the wallets' own books with the switch's, and counts
// the movements that one has and the other has not.
func (s *simulators) disagreements(ctx context.Context) (bad int, err error) {
	err = s.node.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		for _, r := range s.rigs {
			for _, line := range r.wallet.Ledger().Lines {
				booked, _ := b.Payment(line.Payment)
				if line.Moved != (booked.Phase == clearing.KindPost) {
					bad++
				}
			}
		}
	})
	return bad, err
}
