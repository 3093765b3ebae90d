package native_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// purse is a whole wallet: one payer with a balance. It offers payments and
// reversals; the rest is honestly not offered.
type purse struct {
	native.Unimplemented
	balance chan int64 // holds the balance, and so is its lock
}

func (p *purse) Authorise(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	balance := <-p.balance
	defer func() { p.balance <- balance }()
	if r.Amount.Minor > balance {
		return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.InsufficientFunds}, nil
	}
	balance -= r.Amount.Minor
	return tongma.Answer{Outcome: tongma.Approved, SchemeRef: "P-1"}, nil
}

// Serve a wallet, and ask it as the switch does.
func ExampleServe() {
	nc, end := embedded()
	defer end()

	wallet := &purse{balance: make(chan int64, 1)}
	wallet.balance <- 2000
	// The store makes repeats harmless. Use OpenFileStore where money is real.
	svc, err := native.Serve(context.Background(), nc, native.ServiceConfig{Scheme: "purse", Version: "1.0.0"},
		native.Dedupe(wallet, native.NewMemoryStore(0, nil)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer svc.Stop() //nolint:errcheck // the example ends here

	adapter := native.NewAdapter(nc, "purse", native.AdapterOptions{})
	defer adapter.Close()
	cny, _ := tongma.CurrencyByCode("CNY")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for n := range byte(2) {
		r := tongma.Request{Payment: tongma.PaymentID{15: n + 1}, Code: "77004201000000000112", Amount: tongma.Money{Minor: 1250, Currency: cny}}
		for range 2 { // the second time is a repeat: the same answer, and no second debit
			a, err := adapter.Authorise(ctx, r)
			fmt.Println(r.Payment, a.Outcome, a.Reason, err)
		}
	}
	// Output:
	// pay_00000000000000000000000001 approved ok <nil>
	// pay_00000000000000000000000001 approved ok <nil>
	// pay_00000000000000000000000002 declined insufficient-funds <nil>
	// pay_00000000000000000000000002 declined insufficient-funds <nil>
}

// Pay as an acquirer, until the outcome is known.
func ExampleClient_PayUntilKnown() {
	nc, end := embedded()
	defer end()
	sw, err := native.ServeSwitch(context.Background(), nc, approves{}, native.SwitchOptions{}) // stands for the switch
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sw.Stop(context.Background()) //nolint:errcheck // the example ends here

	client, err := native.NewClient(nc, "acq-1") // or native.Dial(url, "acq-1", "acq-1.seed")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	cny, _ := tongma.CurrencyByCode("CNY")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a, err := client.PayUntilKnown(ctx, tongma.Request{
		Key: "till-7-0001", Code: "77004201000000000112", Amount: tongma.Money{Minor: 1250, Currency: cny},
		Merchant: tongma.Merchant{ID: "M1", Name: "Noodles"},
	})
	fmt.Println(a.Status, a.Amount, err)
	// Output: approved 12.50 CNY <nil>
}

// embedded runs a NATS server for an example.
func embedded() (*nats.Conn, func()) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		panic("no server")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		panic(err)
	}
	return nc, func() { nc.Close(); s.Shutdown(); s.WaitForShutdown() }
}
