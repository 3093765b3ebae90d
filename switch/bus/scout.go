package bus

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Bounds of scouting. A server that is cut off is left after about three quarters of
// a second.
const (
	scoutEvery  = 150 * time.Millisecond
	scoutFresh  = 4 * scoutEvery // after which a word that is not followed by another counts no more
	scoutTwice  = 2              // rounds in which a server is seen parted before it is left
	scoutLeast  = 3              // servers, without which there is no majority to be seen
	scoutMost   = 255            // of them, that have a name of one byte
	scoutWithin = time.Second    // for a connection
)

// scouts have a connection to every server of a cluster and say a word on each
// several times a second. Words that come from one server to another and back show
// that these two are one; a server that is one with less than half of them is cut off,
// however well it answers its own clients. So is in effect one that is one with fewer
// than another server is: what it does not reach may be the leader, and servers pass
// nothing on for each other. No election and no stream is needed to see
// that, and a cluster whose streams have no leader for a while is not mistaken for a
// broken one.
//
// Connections that are watched are moved off such a server to one that is with the
// majority. If the scouts see no majority, as when it is this process that stood still,
// nothing is moved.
type scouts struct {
	subject string
	each    []*scout
	quit    chan struct{}
	ended   sync.WaitGroup

	joined atomic.Pointer[map[string]bool]   // servers that reach the most, by address
	names  atomic.Pointer[map[string]string] // addresses of servers, by name

	mu      sync.Mutex         // guards what follows, and heard of each scout
	watched map[*nats.Conn]int // and in how many rounds their server was seen parted
}

// scout is the one at one server.
type scout struct {
	address string
	nc      *nats.Conn
	heard   []time.Time // of each other through this server
}

// startScouts starts scouts at the servers of a list, or returns nil if there are too few.
func startScouts(urls []string, options []nats.Option) *scouts {
	if len(urls) < scoutLeast || len(urls) > scoutMost {
		return nil
	}
	s := &scouts{subject: "tm.scout." + nats.NewInbox(), quit: make(chan struct{}), watched: map[*nats.Conn]int{}}
	for _, one := range urls {
		x := &scout{address: addressOf(one), heard: make([]time.Time, len(urls))}
		own := append(options[:len(options):len(options)], nats.RetryOnFailedConnect(true), nats.IgnoreDiscoveredServers(), nats.Timeout(scoutWithin),
			nats.DisconnectErrHandler(nil), nats.ReconnectHandler(nil), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		var err error
		if x.nc, err = nats.Connect(one, own...); err != nil {
			s.close()
			return nil
		}
		s.each = append(s.each, x)
		_, err = x.nc.Subscribe(s.subject, func(m *nats.Msg) {
			if len(m.Data) == 1 && int(m.Data[0]) < len(x.heard) {
				s.mu.Lock()
				x.heard[m.Data[0]] = time.Now()
				s.mu.Unlock()
			}
		})
		if err != nil {
			s.close()
			return nil
		}
	}
	s.ended.Go(s.run)
	return s
}

// addressOf is the host and port of a server's URL.
func addressOf(one string) string {
	one = strings.TrimSpace(one)
	if !strings.Contains(one, "://") {
		one = "nats://" + one
	}
	u, err := url.Parse(one)
	if err != nil {
		return one
	}
	if u.Port() == "" {
		return u.Host + ":4222"
	}
	return u.Host
}

func (s *scouts) run() {
	ticker := time.NewTicker(scoutEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-ticker.C:
		}
		for i, x := range s.each {
			if x.nc.IsConnected() {
				_ = x.nc.Publish(s.subject, []byte{byte(i)}) // what is not heard is said again
			}
		}
		s.look(time.Now())
	}
}

// look judges the servers, and moves connections off those that are parted.
func (s *scouts) look(now time.Time) {
	heard := make([][]time.Time, len(s.each))
	s.mu.Lock()
	for i, x := range s.each {
		heard[i] = append([]time.Time(nil), x.heard...)
	}
	s.mu.Unlock()
	joined, names := map[string]bool{}, map[string]string{}
	for i, with := range withMajority(heard, now) {
		if x := s.each[i]; with {
			joined[x.address] = true
			names[x.nc.ConnectedServerName()] = x.address
		}
	}
	s.joined.Store(&joined)
	s.names.Store(&names)
	for _, nc := range s.parted(joined) {
		go nc.ForceReconnect() // which may wait for a server that stands still; if it is closed meanwhile, so be it
	}
}

// withMajority tells of each server whether words went both ways between it and more
// than half of all, itself included, and no other server has more. Where one cable of
// three is pulled, that is the server that still reaches both others.
func withMajority(heard [][]time.Time, now time.Time) []bool {
	reached, out := make([]int, len(heard)), make([]bool, len(heard))
	for i := range heard {
		for j := range heard {
			if now.Sub(heard[i][j]) < scoutFresh && now.Sub(heard[j][i]) < scoutFresh {
				reached[i]++
			}
		}
	}
	most := max(slices.Max(reached), len(heard)/2+1)
	for i, n := range reached {
		out[i] = n == most
	}
	return out
}

// parted returns the connections that are to be moved. Those to servers that no scout
// is at are left alone. A connection that is being made may keep whoever asks it
// waiting: no lock is held meanwhile.
func (s *scouts) parted(joined map[string]bool) (move []*nats.Conn) {
	s.mu.Lock()
	watched := slices.Collect(maps.Keys(s.watched))
	s.mu.Unlock()
	for _, nc := range watched {
		at, closed := nc.ConnectedUrl(), nc.IsClosed()
		address := addressOf(at)
		well := at == "" || joined[address] || len(joined) == 0 || !s.knows(address)
		s.mu.Lock()
		switch {
		case closed:
			delete(s.watched, nc)
		case well:
			s.watched[nc] = 0
		default:
			if s.watched[nc]++; s.watched[nc] >= scoutTwice {
				s.watched[nc] = 0
				move = append(move, nc)
			}
		}
		s.mu.Unlock()
	}
	return move
}

func (s *scouts) knows(address string) bool {
	for _, x := range s.each {
		if x.address == address {
			return true
		}
	}
	return false
}

func (s *scouts) watch(nc *nats.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched[nc] = 0
}

// choose says to which server a connection that is lost goes next: to one that is with
// the majority and is not the one that it was at. Connections that were at one server
// go to one server. It is called with the connection locked.
func (s *scouts) choose(servers []nats.Server, last nats.ServerInfo) (*nats.Server, time.Duration) {
	joined, names := s.joined.Load(), s.names.Load()
	if joined == nil {
		return nil, 0
	}
	was := (*names)[last.Name]
	var best *nats.Server
	for i := range servers {
		address := addressOf(servers[i].URL.String())
		if !(*joined)[address] || address == was {
			continue
		}
		if best == nil || servers[i].Reconnects < best.Reconnects || servers[i].Reconnects == best.Reconnects && address < addressOf(best.URL.String()) {
			best = &servers[i]
		}
	}
	if best != nil && best.Reconnects > 0 {
		return best, scoutEvery
	}
	return best, 0
}

// close ends scouting. Connections that were watched stay where they are.
func (s *scouts) close() {
	close(s.quit)
	s.ended.Wait()
	for _, x := range s.each {
		x.nc.Close()
	}
}
