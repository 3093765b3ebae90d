package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of the watch over a connection to a cluster.
const (
	probeEvery  = time.Second
	probeWithin = time.Second
	probesLost  = 3 // in a row, after which another server is tried
	probedMost  = 3 // streams
)

// keepReaching sees to it that a connection is to a server that is one with its
// cluster. A server that is cut off from the others answers pings all the while, so
// that its clients stay where nothing is kept and nobody hears them. Reaching any of
// what the cluster's leaders answer is enough: while one of them is being elected,
// the others are there. It ends when the connection is closed.
func keepReaching(nc *nats.Conn) {
	js, err := jetstream.New(nc)
	if err != nil {
		return
	}
	var known []string // streams of the account
	for lost := 0; !nc.IsClosed(); time.Sleep(probeEvery) {
		switch {
		case !nc.IsConnected(): // it is looking for a server already
			lost = 0
		case reaches(js, &known):
			lost = 0
		default:
			lost++
		}
		if lost >= probesLost {
			lost = 0
			_ = nc.ForceReconnect() // if it is closed meanwhile, that is seen next
		}
	}
}

// reaches asks the cluster's leader, or those of the streams that it named last.
func reaches(js jetstream.JetStream, known *[]string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
	defer cancel()
	if len(*known) == 0 {
		names := js.StreamNames(ctx)
		for name := range names.Name() {
			if len(*known) < probedMost {
				*known = append(*known, name)
			}
		}
		return names.Err() == nil
	}
	found := make(chan bool, probedMost+1)
	go func() { _, err := js.AccountInfo(ctx); found <- err == nil }()
	for _, name := range *known {
		go func() { _, err := js.Stream(ctx, name); found <- err == nil }()
	}
	for range len(*known) + 1 {
		if <-found {
			return true
		}
	}
	return false
}
