package switching

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
)

// Dealer is asked for quotes: for how much of r.PayIn it would give r.Amount; or, where
// r.Exchange.Source is given, how much of r.Exchange.Target's currency it would give for
// that. No money moves by a quote, so that an error, silence or a no are all the same: no
// quote. The method may be called at once from many goroutines, and returns when ctx ends
// at the latest. The answer's Exchange has the quote's id, its rate with the side fixed
// that was given, and its end.
type Dealer interface {
	Quote(ctx context.Context, r tongma.Request) (tongma.Answer, error)
}

// desks is how the dealers are asked of the directory in force.
type desks struct {
	mu     sync.Mutex // held while it changes who is asked
	closed bool
	stops  map[tongma.ParticipantID]func()
	asked  atomic.Pointer[map[tongma.ParticipantID]Dealer] // never changed, only replaced
}

// of returns how a dealer is asked, or nil.
func (s *desks) of(id tongma.ParticipantID) Dealer {
	if asked := s.asked.Load(); asked != nil {
		return (*asked)[id]
	}
	return nil
}

// follow begins to ask the dealers that a directory version brings, and then stops
// asking those who have gone with it. Whoever stays is asked as before.
func (s *desks) follow(d *schemes.Directory, begin func(tongma.ParticipantID) (Dealer, func())) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || begin == nil {
		return
	}
	asked, stops := map[tongma.ParticipantID]Dealer{}, map[tongma.ParticipantID]func(){}
	for _, p := range d.Participants() {
		if p.Dealer == nil || !p.Dealer.QuotesItself() {
			continue
		}
		dealer, stop := s.of(p.ID), s.stops[p.ID]
		if dealer == nil {
			dealer, stop = begin(p.ID)
		}
		if dealer != nil {
			asked[p.ID], stops[p.ID] = dealer, stop
		}
	}
	gone := maps.Clone(s.stops)
	maps.DeleteFunc(gone, func(id tongma.ParticipantID, _ func()) bool { return asked[id] != nil })
	s.asked.Store(&asked)
	s.stops = stops
	stopAsking(gone)
}

// close stops asking anybody, for good.
func (s *desks) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked.Store(nil)
	stopAsking(s.stops)
	s.closed, s.stops = true, nil
}

func stopAsking(stops map[tongma.ParticipantID]func()) {
	for _, stop := range stops {
		if stop != nil {
			stop()
		}
	}
}
