//! Limits that adapt: what they reach, and what does not fool them.

mod sim;

use self::sim::{PHASES, SECOND, WORKERS, run};
use hedgerow_admission::{
    Aimd, AimdConfig, Elasticity, ElasticityConfig, Fixed, Gradient, GradientConfig, LimitPolicy,
    Vegas, VegasConfig,
};
use std::time::Duration;

#[test]
fn table() {
    let best = run(&Fixed::new(32.try_into().unwrap()), &WORKERS, &PHASES, 1);
    let best: Vec<_> = best
        .iter()
        .map(|t| (t.per_second(0), t.p99_ms(0)))
        .collect();
    let env = |k: &str, d: f64| std::env::var(k).map(|v| v.parse().unwrap()).unwrap_or(d);
    let seeds = env("SEEDS", 8.0) as u64;
    let init = env("INIT", 20.0) as usize;
    for name in std::env::var("WHICH")
        .unwrap_or("aimd vegas gradient elasticity".into())
        .split(' ')
    {
        let mut sum = [[0.0f64; 4]; 2];
        let mut settled = Vec::new();
        let mut worst = [[9.0f64; 2], [0.0; 2]];
        for seed in 0..seeds {
            if std::env::var_os("TRACE").is_some() {
                eprintln!("SEED {seed}");
            }
            let p: Box<dyn LimitPolicy> = match name {
                "aimd" => Box::new(Aimd::new(
                    AimdConfig::default()
                        .max(5000)
                        .initial(init)
                        .slow_after(Duration::from_millis(40)),
                )),
                "vegas" => Box::new(Vegas::new(VegasConfig::default().max(5000).initial(init))),
                "gradient" => Box::new(Gradient::new(
                    GradientConfig::default().max(5000).initial(init),
                )),
                _ => Box::new(Elasticity::new(
                    ElasticityConfig::default().max(5000).initial(init),
                )),
            };
            let told = run(&*p, &WORKERS, &PHASES, seed);
            if std::env::var_os("L").is_some() && seed == 0 {
                for t in &told {
                    println!(
                        "   {:?}",
                        t.limits
                            .iter()
                            .take(160)
                            .map(|(a, l)| (a / 1_000_000, *l))
                            .collect::<Vec<_>>()
                    );
                }
            }
            settled.push((told[1].settled(24.0..44.0), told[2].settled(24.0..44.0)));
            for (i, ph) in [1, 2].iter().enumerate() {
                let (x, l) = best[*ph];
                let t = &told[*ph];
                let v = [
                    t.per_second(0) / x,
                    t.p99_ms(0) / l,
                    t.per_second(10 * SECOND) / x,
                    t.p99_ms(10 * SECOND) / l,
                ];
                for k in 0..4 {
                    sum[i][k] += v[k] / seeds as f64;
                }
                worst[0][i] = worst[0][i].min(v[0]);
                worst[1][i] = worst[1][i].max(v[1]);
            }
        }
        println!(
            "row {name}: {sum:.3?} worst {worst:.3?} {:?} {:?}",
            settled
                .iter()
                .map(|s| s.0.map_or(99, |x| x))
                .collect::<Vec<_>>(),
            settled
                .iter()
                .map(|s| s.1.map_or(99, |x| x))
                .collect::<Vec<_>>()
        );
    }
}
#[test]
fn dips() {
    for seed in 0..100 {
        let p = Elasticity::default();
        let told = run(&p, &WORKERS, &PHASES, seed);
        let r: Vec<f64> = [1, 2].iter().map(|i| told[*i].per_second(0) * *i as f64 / 3195.0).collect();
        if r[0] < 0.980 || r[1] < 0.980 {
            println!("dip {seed} {r:.3?}");
            for i in [1, 2] { if r[i-1] < 0.98 { println!("dip  {:.1?}", told[i].mean_limits()); } }
        }
    }
}
