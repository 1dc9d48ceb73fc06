//! A guest whose imports wait for other tasks, called through bindings that are
//! awaited: many orders at a time, on a few threads.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wasmc_loader::{Caller, Engine, Error, Result, Store, Val};

wasmc_loader::include_module!(orders);

/// A question to the task that knows prices: an article, and where to answer.
type Question = (i32, oneshot::Sender<i64>);

/// The data of a store.
struct Order {
    prices: mpsc::Sender<Question>,
    noted: Vec<(i32, i64)>,
    shipped: bool,
}

impl orders::Shop for Order {
    async fn price(caller: &mut Caller<'_, Self>, article: i32) -> Result<i64> {
        let (answer, price) = oneshot::channel();
        caller.data().prices.send((article, answer)).await.map_err(Error::new)?;
        price.await.map_err(|_| Error::msg(format!("article {article} has no price")))
    }

    fn note(caller: &mut Caller<'_, Self>, article: i32, price: i64) -> Result<()> {
        caller.data_mut().noted.push((article, price));
        Ok(())
    }

    async fn ship(caller: &mut Caller<'_, Self>) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        caller.data_mut().shipped = true;
        Ok(())
    }

    async fn audit(_caller: &mut Caller<'_, Self>, params: &[Val], results: &mut [Val]) -> Result<()> {
        tokio::task::yield_now().await;
        results[0] = Val::I64(params.iter().map(Val::unwrap_i64).sum());
        Ok(())
    }
}

/// Answers questions until nobody can ask any more: about article -1 never, and
/// articles from 100 on do not exist.
async fn prices(mut questions: mpsc::Receiver<Question>) {
    let mut open = Vec::new();
    while let Some((article, answer)) = questions.recv().await {
        tokio::task::yield_now().await;
        if article == -1 {
            open.push(answer);
        } else if article < 100 {
            // Who has asked may be gone.
            let _ = answer.send(i64::from(article) * 10);
        }
    }
}

/// The total of an order, which takes an instance of its own.
async fn total(orders: &orders::Module, imports: &orders::Imports<Order>, order: Order, last: i32) -> Result<i64> {
    let mut store = Store::new(orders.engine(), order);
    let mut instance = orders.instantiate(&mut store, imports).await?;
    let total = instance.order(1, last).await?;
    assert_eq!((instance.orders().get(), instance.memory().size()), (1, 1));

    // The same without borrowing the store.
    let exports = instance.into_exports();
    assert_eq!(exports.order(&mut store, 1, last).await?, total);
    assert!(store.data().shipped && store.data().noted.len() == 2 * last as usize);
    Ok(total)
}

async fn run() -> Result<()> {
    let engine = Engine::default();
    let orders = Arc::new(orders::Module::load(&engine)?);
    let imports = Arc::new(orders.imports::<Order>()?);
    let (sender, receiver) = mpsc::channel(8);
    let clerk = tokio::spawn(prices(receiver));
    let order = || Order { prices: sender.clone(), noted: Vec::new(), shipped: false };

    // Tasks move between threads, so their futures must be `Send`.
    let tasks: Vec<_> = (1..=50)
        .map(|last| {
            let (orders, imports, order) = (orders.clone(), imports.clone(), order());
            tokio::spawn(async move { total(&orders, &imports, order, last).await })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.map_err(Error::new)??;
    }
    println!("50 orders: {sum}");

    let mut store = Store::new(&engine, order());
    let mut instance = orders.instantiate(&mut store, &imports).await?;
    let mut result = [Val::I64(0)];
    instance.audit(&(1..=17).map(Val::I64).collect::<Vec<_>>(), &mut result).await?;
    println!("audited: {}", result[0].unwrap_i64());
    println!("articles up to 100: {}", instance.order(98, 100).await.unwrap_err());

    // A future that is dropped ends the call, and the instance can be used on.
    let exports = instance.into_exports();
    let order = exports.order(&mut store, -1, -1);
    let late = tokio::time::timeout(Duration::from_millis(5), order).await;
    println!("an article without end: {}", if late.is_err() { "no order" } else { "an order" });
    println!("then: {}", exports.order(&mut store, 1, 3).await?);

    drop((store, sender));
    drop((orders, imports));
    clerk.await.map_err(Error::new)
}

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build()?.block_on(run())
}
