package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/schemes"
)

// BenchmarkWholePayment measures a payment from end to end: an acquirer asks over
// a NATS socket, the switch resolves the code, holds durably, asks the wallet's
// adapter over another NATS socket, posts durably, and answers. Everything,
// load generator and wallet included, is in this process and counts as CPU.
func BenchmarkWholePayment(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256, 512} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchWhole(b, callers) })
	}
}

func benchWhole(b *testing.B, callers int) {
	ctx := context.Background()
	n, err := newNode(ctx, nodeConfig{data: b.TempDir(), natsListen: "127.0.0.1:0", directory: schemes.Sandbox(), sandbox: true, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	sims, err := startSimulators(ctx, n, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer sims.stop()
	nc, err := n.dial("acq-north")
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	client, err := native.NewClient(nc, "acq-north")
	if err != nil {
		b.Fatal(err)
	}
	styles := []scripted.Style{scripted.WeChat, scripted.Alipay, scripted.UnionPay}
	pay := func(i int) error {
		code, err := scripted.Code(styles[i%3], "", scripted.Approve, uint64(i))
		if err != nil {
			return err
		}
		a, err := client.Pay(ctx, tongma.Request{Key: fmt.Sprintf("bench-%d", i), Code: code, Amount: tongma.Money{Minor: 1, Currency: tongma.CNY},
			Merchant: tongma.Merchant{ID: "898100012340001", Name: "SHANGHAI NOODLE HOUSE", City: "SHANGHAI", Country: "CN", MCC: "5812", Terminal: "T0000001"}})
		if err == nil && a.Status != tongma.Paid {
			err = fmt.Errorf("payment %d: %s for %s", i, a.Status, a.Reason)
		}
		return err
	}
	const warm = 2000
	var next atomic.Int64
	run := func(total int, took []time.Duration) {
		first := int(next.Load())
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for {
					i := int(next.Add(1)) - 1
					if i >= first+total {
						return
					}
					start := time.Now()
					if err := pay(i); err != nil {
						b.Error(err)
						return
					}
					if took != nil {
						took[i-first] = time.Since(start)
					}
				}
			})
		}
		wg.Wait()
		next.Store(int64(first + total))
	}
	run(min(warm, 50*callers), nil)
	took := make([]time.Duration, b.N)
	cpu := cpuTime()
	b.ResetTimer()
	start := time.Now()
	run(b.N, took)
	elapsed := time.Since(start)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "payments/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/payment")
	b.ReportMetric(quantile(took, 0.5), "p50-ms")
	b.ReportMetric(quantile(took, 0.99), "p99-ms")
}

// cpuTime is what this process has used of the processors so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
