//! Very many instances, very often, on too many threads, and with too little
//! of everything. What is measured belongs to the whole process, so that most
//! cases run in a process of their own (see [`child`]).

mod child;
mod churn;
mod guests;
mod live;
mod usage;
